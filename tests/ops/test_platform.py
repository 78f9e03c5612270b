"""Operators choose their implementation for the platform that a program is made for."""

import jax
import jax.numpy as jnp
import pytest

from motion_vit.ops import depthwise_conv3d
from motion_vit.ops.platform import current_platform, target_platform


def test_it_is_the_default_backend_outside_of_a_context():
    assert current_platform() == jax.default_backend()


def test_the_innermost_context_counts():
    with target_platform("tpu"):
        with target_platform("gpu"):
            assert current_platform() == "gpu"
        assert current_platform() == "tpu"


def test_a_context_ends_also_by_an_error():
    with pytest.raises(RuntimeError, match="stop"), target_platform("tpu"):
        raise RuntimeError("stop")
    assert current_platform() == jax.default_backend()


def test_operators_choose_for_the_target():
    x, kernel = jnp.zeros((1, 2, 4, 4, 3)), jnp.zeros((3, 3, 3, 3))

    def program(platform):
        with target_platform(platform):
            return jax.jit(lambda x, kernel: depthwise_conv3d.depthwise_conv3d(x, kernel)).lower(x, kernel).as_text()

    assert "stablehlo.convolution" in program("gpu")
    assert "stablehlo.convolution" not in program("cpu")


def test_an_unknown_platform_is_named():
    with pytest.raises(ValueError, match="must be one of cpu, gpu, tpu, portable"), target_platform("TPU"):
        pass
