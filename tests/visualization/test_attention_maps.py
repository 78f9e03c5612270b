import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motion_vit
from motion_vit.ops.global_attention import attention_weights
from motion_vit.visualization import attention_maps
from motion_vit.visualization.clip_view import place_view
from motion_vit.visualization.token_grid import token_grid

RNG = np.random.default_rng(0)


def vectors(tokens: int = 250, layers: int = 3) -> list[np.ndarray]:
    return [RNG.standard_normal((2, tokens, 2, 4)).astype(np.float32) for _ in range(layers)]


def test_rollout_is_the_product_of_layers_with_their_residuals():
    start = np.zeros((2, 250), np.float32)
    start[:, 7] = 1

    @jax.jit
    def attend(queries, keys):
        weights = [attention_weights(query, key) for query, key in zip(queries, keys, strict=True)]
        rolled = attention_maps.rollout(weights, residual=0.3)
        of_start = attention_maps.rollout_from(jnp.asarray(start), queries, keys, residual=0.3)
        return weights, rolled, of_start, attention_maps.attention_row(queries[0], keys[0], 7)

    weights, rolled, of_start, row = jax.device_get(attend(vectors(), vectors()))
    expected = np.eye(250)
    for layer in weights:
        expected = (0.3 * np.eye(250) + 0.7 * np.asarray(layer, np.float64).mean(axis=1)) @ expected
    np.testing.assert_allclose(rolled, expected, atol=1e-6)
    np.testing.assert_allclose(of_start, expected[:, 7], atol=1e-6)
    np.testing.assert_allclose(row, weights[0][:, :, 7], atol=1e-6)


def test_a_row_of_attention_needs_no_matrix_of_all_tokens():
    query, key = vectors(2048, 2)
    start = np.full((2, 2048), 1 / 2048, np.float32)
    rolled = jax.jit(functools.partial(attention_maps.rollout_from)).lower(start, [query] * 2, [key] * 2).compile()
    whole = 2 * 2 * 2048**2 * 4
    assert rolled.memory_analysis().temp_size_in_bytes < whole / 3


@pytest.mark.slow
def test_the_attention_of_a_patch_is_its_row_over_the_frames(small_model, everything):
    model, variables, clips = small_model("uniformer")
    found = attention_maps.record_attention(model, variables, clips, "stage3", (1, 2, 3))
    (layer,) = found.layers
    assert layer == "stage3/block1/attention"
    weights = everything("uniformer").maps[f"{layer}/attention_weights"]
    grid = token_grid(model, layer, place_view((64, 64), (0, 1, 2), 64))
    expected = attention_maps.attention_of_patch(weights, grid, (1, 2, 3))
    assert expected.shape == (2, 2, 3, 4, 4)
    number = 16 + 2 * 4 + 3
    np.testing.assert_array_equal(expected.reshape(2, 2, -1), weights[:, :, number])
    np.testing.assert_allclose(found.layers[layer], expected, atol=1e-5)
    itself = np.zeros((3, 4, 4), np.float32)
    itself[1, 2, 3] = 0.5
    np.testing.assert_allclose(found.rollout, itself + 0.5 * np.asarray(expected).mean(axis=1), atol=1e-5)
    received = attention_maps.record_attention(model, variables, clips, "stage3").layers[layer]
    np.testing.assert_allclose(received.reshape(2, 2, -1), np.asarray(weights).mean(axis=2), atol=1e-5)


@pytest.mark.fast_cases("divided_space_time")
@pytest.mark.parametrize("scheme", ["divided_space_time", "joint_space_time", "space_only"])
def test_the_class_token_of_a_timesformer_attends_to_patches_of_every_frame(small_model, everything, scheme):
    model, variables, clips = small_model("timesformer", attention=scheme)
    maps = everything("timesformer", attention=scheme).maps
    weights = [np.asarray(maps[f"blocks/block{block}/attention/attention_weights"]) for block in (0, 1)]
    grid = token_grid(model, "blocks/block0", place_view((24, 24), (0, 1, 2), 24))
    of_class = attention_maps.record_attention(model, variables, clips, "blocks")
    of_patch = attention_maps.record_attention(model, variables, clips, "blocks", (2, 0, 1))
    rolled = np.asarray(jax.jit(attention_maps.rollout)(weights))
    if scheme == "joint_space_time":
        expected = [layer[:, :, 0, 1:].reshape(2, 2, 3, 3, 3) for layer in weights]
        patch = weights[0][:, :, 1 + 2 * 9 + 1, 1:].reshape(2, 2, 3, 3, 3)
        through_all = rolled[:, 0, 1:].reshape(2, 3, 3, 3)
    else:
        spatial = jax.jit(lambda layer: attention_maps.spatial_attention(layer, grid))
        expected = [np.asarray(spatial(layer)) for layer in weights]
        np.testing.assert_array_equal(expected[0][1, 0, 2].ravel(), weights[0][3 + 2, 0, 0, 1:])
        patch = attention_maps.spatial_attention(weights[0], grid, (0, 1))
        through_all = rolled[:, 0, 1:].reshape(2, 3, 3, 3)
    for found, layer in zip(of_class.layers.values(), expected, strict=True):
        np.testing.assert_allclose(found, layer, atol=1e-5)
    np.testing.assert_allclose(of_patch.layers["blocks/block0/attention"], patch, atol=1e-5)
    np.testing.assert_allclose(of_class.rollout, through_all, atol=1e-5)


@pytest.mark.slow
def test_the_class_token_of_an_mvit_attends_to_pooled_keys_of_each_layer(small_model, everything):
    model, variables, clips = small_model("mvit")
    weights = {
        block: np.asarray(everything("mvit").maps[f"blocks/block{block}/attention/attention_weights"])
        for block in (0, 1)
    }
    # Patches of 8 x 8 and 4 x 4, keys of 2 x 2 and 4 x 4, of two frames.
    first = attention_maps.record_attention(model, variables, clips, "blocks/block0")
    np.testing.assert_allclose(
        first.layers["blocks/block0/attention"], weights[0][:, :, 0, 1:].reshape(2, 1, 2, 2, 2), atol=1e-5
    )
    assert first.rollout is None
    of_patch = attention_maps.record_attention(model, variables, clips, "blocks/block0", (1, 7, 3))
    row = weights[0][:, :, 1 + 64 + 7 * 8 + 3, 1:].reshape(2, 1, 2, 2, 2)
    np.testing.assert_allclose(of_patch.layers["blocks/block0/attention"], row, atol=1e-5)
    second = attention_maps.record_attention(model, variables, clips, "blocks/block1")
    assert second.layers["blocks/block1/attention"].shape == (2, 2, 2, 4, 4)
    np.testing.assert_allclose(second.rollout, 0.5 * weights[1].mean(axis=1)[:, 0, 1:].reshape(2, 2, 4, 4), atol=1e-5)
    with pytest.raises(motion_vit.UserError, match="it has it in blocks/block0, blocks/block1"):
        attention_maps.record_attention(model, variables, clips, "blocks")


def test_attention_over_time_is_that_of_the_chosen_patch(small_model, everything):
    model = small_model("timesformer", attention="divided_space_time").model
    name = "blocks/block1/temporal_attention/attention_weights"
    weights = np.asarray(everything("timesformer", attention="divided_space_time").maps[name])
    grid = token_grid(model, name, place_view((24, 24), (0, 1, 2), 24))
    found = attention_maps.temporal_attention(weights, grid, (1, 2))
    np.testing.assert_array_equal(found, weights.reshape(2, 9, 2, 3, 3)[:, 5])
    received = np.asarray(attention_maps.received_over_time(weights, grid))
    assert received.shape == (2, 2, 3, 3, 3)
    np.testing.assert_allclose(received[:, :, :, 1, 2], found.mean(axis=2), rtol=1e-6)


def test_mistakes_are_explained(small_model):
    videomae, resnet = small_model("videomae"), small_model("resnet")
    mistakes = {
        "no global attention in 'blocks/block0'; it has it in blocks": lambda: attention_maps.record_attention(
            *videomae, "blocks/block0"
        ),
        "Video Swins and MViTs have it": lambda: attention_maps.record_attention(*resnet, "stage3"),
        r"counted from 0; given \(0, 4, 0\)": lambda: attention_maps.record_attention(*videomae, "blocks", (0, 4, 0)),
        r"given layers of \[4, 5\] tokens": lambda: attention_maps.rollout(
            [jnp.zeros((1, 1, 4, 4)), jnp.zeros((1, 1, 5, 5))]
        ),
    }
    for message, look in mistakes.items():
        with pytest.raises(motion_vit.UserError, match=message):
            look()
