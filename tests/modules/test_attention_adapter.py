"""Learned queries that look at the tokens of a frame: their equations, and where they start."""

import jax
import numpy as np
import pytest

from motion_vit.modules.attention_adapter import AttentionAdapter
from motion_vit.ops.gelu import gelu

SHAPE = (2, 3, 5, 8)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)


def normed(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def test_a_new_adapter_hands_on_the_pooled_tokens_once_for_each_query() -> None:
    layer = AttentionAdapter(queries=4, heads=2)
    tokens, pooled = random(*SHAPE), random(2, 3, 8, seed=1)
    output, variables = jax.jit(layer.init_with_output)(jax.random.key(0), tokens, pooled)
    np.testing.assert_array_equal(output, np.broadcast_to(pooled[:, :, None], (2, 3, 4, 8)))
    assert variables["params"]["queries"].shape == (4, 8)


def test_queries_attend_to_the_normalised_tokens_of_their_frame() -> None:
    layer = AttentionAdapter(queries=2, heads=1, mlp_ratio=1.0)
    tokens, pooled = random(*SHAPE), random(2, 3, 8, seed=1)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), tokens, pooled)
    keys = iter(range(2, 100))
    variables = jax.tree.map(lambda leaf: np.float32(0.5) * random(*leaf.shape, seed=next(keys)), shapes)
    p = jax.tree.map(np.asarray, variables["params"])

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ p[name]["kernel"] + p[name]["bias"]

    z = normed(np.asarray(tokens)) * p["norm1"]["scale"] + p["norm1"]["bias"]
    affinity = linear(p["queries"], "query") @ np.swapaxes(linear(z, "key"), -1, -2) / np.sqrt(8)
    weights = np.exp(affinity) / np.exp(affinity).sum(-1, keepdims=True)
    a = np.asarray(pooled)[:, :, None] + linear(weights @ linear(z, "value"), "proj")
    hidden = normed(a) * p["norm2"]["scale"] + p["norm2"]["bias"]
    hidden = np.asarray(jax.jit(gelu)(hidden @ p["mlp"]["fc1"]["kernel"] + p["mlp"]["fc1"]["bias"]))
    expected = a + hidden @ p["mlp"]["fc2"]["kernel"] + p["mlp"]["fc2"]["bias"]
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, tokens, pooled), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.mistyped
def test_wrong_fields_are_named() -> None:
    with pytest.raises(ValueError, match="queries of AttentionAdapter is 0, but must be a whole number of 1 or more"):
        AttentionAdapter(queries=0, heads=2)
    with pytest.raises(ValueError, match="heads"):
        AttentionAdapter(queries=1, heads=3).init(jax.random.key(0), random(*SHAPE), random(2, 3, 8))
