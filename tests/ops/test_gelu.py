"""GELU, also in the form that is written out for LiteRT, and its approximation by tanh."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.ops.gelu import gelu, tanh_gelu
from motion_vit.ops.platform import target_platform

X = np.concatenate([np.linspace(-8, 8, 4001), [-100.0, -1e-30, 0.0, 1e-30, 100.0]]).astype(np.float32)


@pytest.mark.parametrize("platform", ["cpu", "any", "litert"])
def test_it_is_x_times_the_normal_distribution(platform):
    with target_platform(platform):
        actual = jax.jit(lambda x: gelu(x))(X)
    expected = np.asarray([float(x) * math.erfc(-float(x) / math.sqrt(2)) / 2 for x in X])
    assert (np.abs(actual - expected) / np.maximum(1, np.abs(X))).max() < 1e-6


@pytest.mark.parametrize("platform", ["cpu", "any", "litert"])
def test_its_gradient_is_the_derivative(platform):
    with target_platform(platform):
        actual = jax.jit(jax.vmap(jax.grad(lambda x: gelu(x))))(X)
    expected = [
        math.erfc(-float(x) / math.sqrt(2)) / 2 + float(x) * math.exp(-(float(x) ** 2) / 2) / math.sqrt(2 * math.pi)
        for x in X
    ]
    assert np.abs(actual - np.asarray(expected)).max() < 1e-6


def approximation(x):
    return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def test_the_approximation_is_that_of_its_formula():
    expected = np.asarray([approximation(float(x)) for x in X])
    found, exact = jax.device_get(jax.jit(lambda x: (tanh_gelu(x), gelu(x)))(X))
    assert (np.abs(found - expected) / np.maximum(1, np.abs(X))).max() < 1e-6
    assert 1e-4 < np.abs(found - exact).max() < 5e-4


def test_the_gradient_of_the_approximation_is_its_derivative():
    actual = jax.jit(jax.vmap(jax.grad(tanh_gelu)))(X)
    step = 1e-6
    expected = [(approximation(float(x) + step) - approximation(float(x) - step)) / (2 * step) for x in X]
    assert np.abs(actual - np.asarray(expected)).max() < 1e-6


def test_in_bfloat16_only_input_and_output_are_rounded():
    x = jnp.asarray(X).astype(jnp.bfloat16)
    in_float32 = gelu(x.astype(jnp.float32))
    assert (gelu(x) == in_float32.astype(jnp.bfloat16)).all()


def test_in_bfloat16_only_input_and_output_of_the_gradient_are_rounded():
    x = jnp.asarray(X).astype(jnp.bfloat16)
    _, pullback = jax.vjp(gelu, x)
    _, pullback_in_float32 = jax.vjp(gelu, x.astype(jnp.float32))
    (in_float32,) = pullback_in_float32(jnp.ones(x.shape, jnp.float32))
    assert (pullback(jnp.ones_like(x))[0] == in_float32.astype(jnp.bfloat16)).all()


@pytest.mark.parametrize("platform", ["any", "litert"])
def test_where_a_foreign_runtime_reads_the_program_it_is_sums_and_products(platform):
    with target_platform(platform):
        program = jax.jit(lambda x: gelu(x)).lower(jax.ShapeDtypeStruct((7,), jnp.float32)).as_text()
    assert "select" not in program
    assert "erf" not in program
