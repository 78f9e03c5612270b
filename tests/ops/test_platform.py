"""Operators choose their implementation for the platform that a program is made for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from motion_vit.ops import cost_volume, depthwise_conv3d, global_attention
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
    with (
        pytest.raises(ValueError, match="must be one of cpu, gpu, tpu, portable, any, onnx, litert"),
        target_platform("TPU"),
    ):
        pass


def test_a_program_for_any_platform_holds_what_each_computes_best():
    x, kernel = jnp.ones((1, 2, 4, 4, 3)), jnp.ones((3, 3, 3, 3))
    with target_platform("any"):
        function = jax.jit(lambda x, kernel: depthwise_conv3d.depthwise_conv3d(x, kernel))
        exported = export.export(function, platforms=("cpu", "cuda", "tpu"))(x, kernel)
    assert "stablehlo.convolution" in exported.mlir_module()
    # Here the form for CPU runs: the same numbers, and none of the convolution.
    assert "convolution" not in jax.jit(exported.call).lower(x, kernel).compile().as_text()
    np.testing.assert_array_equal(exported.call(x, kernel), depthwise_conv3d.depthwise_conv3d(x, kernel))


def attend(x, **implementations):
    local = cost_volume.cost_volume_attention(x, x, x, window=3, implementation=implementations.get("local"))
    tokens = local.reshape(x.shape[0], -1, *x.shape[4:])
    return global_attention.global_attention(tokens, tokens, tokens, implementation=implementations.get("all"))


def test_a_program_for_any_platform_takes_a_symbolic_batch():
    batch = export.symbolic_shape("b")[0]
    with target_platform("any"):
        exported = export.export(jax.jit(attend), platforms=("cpu", "cuda", "tpu"))(
            jax.ShapeDtypeStruct((batch, 3, 4, 4, 2, 8), jnp.float32)
        )
    x = jax.random.normal(jax.random.key(0), (5, 3, 4, 4, 2, 8))
    expected = attend(x, local="xla_window", all="xla")
    np.testing.assert_allclose(exported.call(x), expected, rtol=1e-5, atol=1e-5)
