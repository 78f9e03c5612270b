"""Attention within windows against its definition in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from motion_vit.ops.clip_windows import clip_windows, window_regions
from motion_vit.ops.window_attention import IMPLEMENTATIONS, window_attention, window_attention_weights

WINDOWS = {
    "shifted": clip_windows((3, 5, 4), (2, 3, 2), shifted=True),
    "whole": clip_windows((2, 3, 4), (2, 3, 2), shifted=False),
}
HEADS = 2


def attend_by_definition(windows, query, key, value, bias):
    regions = window_regions(windows)
    logits = jnp.einsum("bwqhd,bwkhd->bwhqk", query, key) / np.sqrt(query.shape[-1]) + bias[None, None]
    logits = logits - 100.0 * (regions[:, :, None] != regions[:, None, :])[None, :, None]
    exponentials = jnp.exp(logits - logits.max(-1, keepdims=True))
    return jnp.einsum("bwhqk,bwkhd->bwqhd", exponentials / exponentials.sum(-1, keepdims=True), value)


def output_and_gradients(attend, inputs, cotangent):
    """In one program, which compiles faster than each of its operations by itself."""

    @jax.jit
    def run(inputs, cotangent):
        output, pullback = jax.vjp(attend, *inputs)
        return output, pullback(cotangent)

    return run(tuple(inputs), cotangent)


@functools.cache
def reference(kind):
    windows = WINDOWS[kind]
    rng = np.random.default_rng(0)
    shape = (2, windows.count, windows.tokens, HEADS, 4)
    inputs = *(rng.standard_normal(shape) for _ in range(3)), rng.standard_normal((HEADS, *shape[2:3] * 2))
    cotangent = rng.standard_normal(shape)
    with jax.enable_x64(True):
        attend = functools.partial(attend_by_definition, windows)
        output, gradients = output_and_gradients(attend, inputs, cotangent)
        return inputs, np.asarray(output), cotangent, [np.asarray(g) for g in gradients]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", WINDOWS)
def test_output_and_gradients_equal_the_definition(kind, implementation):
    inputs, output, cotangent, gradients = reference(kind)
    attend = functools.partial(window_attention, windows=WINDOWS[kind], implementation=implementation)
    actual, actual_gradients = output_and_gradients(attend, map(np.float32, inputs), np.float32(cotangent))
    np.testing.assert_allclose(actual, output, atol=1e-5)
    for actual_gradient, gradient in zip(actual_gradients, gradients, strict=True):
        np.testing.assert_allclose(actual_gradient, gradient, atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bfloat16_stays_close(implementation):
    inputs, output, _, _ = reference("shifted")
    attend = functools.partial(window_attention, windows=WINDOWS["shifted"], implementation=implementation)
    *vectors, bias = (x.astype(jnp.bfloat16) for x in inputs)
    actual = jax.jit(attend)(*vectors, bias)
    assert actual.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(actual, np.float64), output, atol=0.03)


def test_weights_are_those_applied_to_the_values():
    inputs, output, _, _ = reference("shifted")
    query, key, value, bias = map(np.float32, inputs)
    look = jax.jit(functools.partial(window_attention_weights, windows=WINDOWS["shifted"]))
    weights = np.asarray(look(query, key, bias))
    np.testing.assert_allclose(np.einsum("bwhqk,bwkhd->bwqhd", weights, value), output, atol=1e-5)


def test_each_device_computes_its_own_clips():
    inputs, output, _, _ = reference("shifted")
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    attend = functools.partial(window_attention, windows=WINDOWS["shifted"], implementation="windowwise")
    with jax.set_mesh(mesh):
        actual = jax.jit(attend)(*map(np.float32, inputs))
    assert actual.sharding.spec[0] == "data"
    np.testing.assert_allclose(actual, output, atol=1e-5)


@pytest.mark.mistyped
def test_wrong_arguments_are_explained():
    inputs, _, _, _ = reference("whole")
    query, key, value, bias = map(np.float32, inputs)
    with pytest.raises(ValueError, match="unknown implementation 'flash' of window_attention: choose from xla"):
        window_attention(query, key, value, bias, WINDOWS["whole"], implementation="flash")
    with pytest.raises(ValueError, match=r"expected query, key and value \[batch, 2 windows, 12 tokens"):
        window_attention(query[:, :1], key[:, :1], value[:, :1], bias, WINDOWS["whole"])
    with pytest.raises(ValueError, match=r"expected a bias \[2 heads, 12, 12\]"):
        window_attention(query, key, value, bias[:1], WINDOWS["whole"])
