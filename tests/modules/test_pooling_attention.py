"""Pooling attention: heads share kernels, and positions that are channels of queries and keys are terms of logits."""

import jax
import jax.numpy as jnp
import numpy as np

from motion_vit.modules.head_pooling import HeadPooling
from motion_vit.modules.pooling_attention import PoolingAttention
from motion_vit.ops.relative_positions import distance_embeddings

RANDOM = np.random.default_rng(0)


def random_like(shapes):
    return jax.tree.map(lambda leaf: np.asarray(RANDOM.standard_normal(leaf.shape), np.float32), shapes)


def test_heads_are_pooled_by_the_same_kernel_as_if_they_were_clips():
    patches, class_token = (
        np.asarray(RANDOM.standard_normal(shape), np.float32) for shape in ((2, 3, 5, 4, 6), (2, 1, 6))
    )
    pool = HeadPooling(heads=2, stride=2)
    variables = random_like(jax.eval_shape(pool.init, jax.random.key(0), patches, class_token))
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "depthwise": {"kernel": (3, 3, 3, 3)},
        "norm": {"scale": (3,), "bias": (3,)},
    }
    found = np.asarray(jax.jit(pool.apply)(variables, patches, class_token))
    alone = jax.jit(HeadPooling(heads=1, stride=2).apply)
    assert found.shape == (2, 1 + 3 * 3 * 2, 2, 3)
    for head in range(2):
        channels = slice(3 * head, 3 * head + 3)
        expected = np.asarray(alone(variables, patches[..., channels], class_token[..., channels]))[:, :, 0]
        np.testing.assert_allclose(found[:, :, head], expected, atol=1e-5)


def test_logits_have_a_term_for_each_axis_but_those_of_the_class_token():
    layer = PoolingAttention(features=8, heads=2, grid=(2, 4, 6), query_stride=1, key_stride=2, table_rows=(3, 7, 11))
    x = jax.device_put(RANDOM.standard_normal((1, 49, 5)).astype(np.float32))
    variables = random_like(jax.eval_shape(layer.init, jax.random.key(0), x))
    still = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.zeros_like(leaf) if any(key.key == "positions" for key in path) else leaf, variables
    )

    @jax.jit
    def logits(variables):
        state = layer.apply(variables, x, mutable=["intermediates"])[1]["intermediates"]
        query, key = state["query"][0], state["key"][0]
        return jnp.einsum("bqhd,bkhd->bhqk", query, key) * query.shape[-1] ** -0.5, query

    with_positions, query = logits(variables)
    terms = np.asarray(with_positions) - np.asarray(logits(still)[0])
    np.testing.assert_allclose(terms[:, :, 0], 0, atol=1e-5)
    np.testing.assert_allclose(terms[:, :, :, 0], 0, atol=1e-5)
    # What the attention scales by, for 4 channels of a head and 2 + 2 + 3 places.
    patches = np.asarray(query)[..., :4][:, 1:].reshape(2, 4, 6, 2, 4) / (11 / 4) ** 0.5
    embed = jax.jit(distance_embeddings, static_argnums=(1, 2))
    embeddings = [
        np.asarray(embed(variables["params"]["positions"][axis], *sizes))
        for axis, sizes in (("frames", (2, 2)), ("rows", (4, 2)), ("columns", (6, 3)))
    ]
    # Axes: frame, row and column of the query, head, channel; frame, row and column of the key.
    expected = (
        np.einsum("thwnd,tad->nthwa", patches, embeddings[0])[..., :, None, None]
        + np.einsum("thwnd,had->nthwa", patches, embeddings[1])[..., None, :, None]
        + np.einsum("thwnd,wad->nthwa", patches, embeddings[2])[..., None, None, :]
    )
    np.testing.assert_allclose(terms[0, :, 1:, 1:], expected.reshape(2, 48, 12), rtol=1e-4, atol=1e-4)
