"""Shifts are planted in features, and the fields must say them."""

import functools

import jax
import numpy as np
import pytest

import motion_vit
from motion_vit.modules.emim import Emim
from motion_vit.visualization import displacement, recording
from motion_vit.visualization.clip_view import place_view
from motion_vit.visualization.displacement import displacement_field, patch_feature_cost_volume
from motion_vit.visualization.token_grid import token_grid

CHANNELS = 32

# Compiled whole: operation by operation, every shape would compile dozens of small programs.
volume_of = jax.jit(patch_feature_cost_volume, static_argnames=("window", "frame_offset"))
field_of = jax.jit(displacement_field, static_argnames=("temperature", "heads", "frame_offset"))
weights_of = jax.jit(displacement.displacement_weights, static_argnames="heads")


def moving_features(down: int, right: int, frames: int = 4, size: tuple[int, int] = (9, 11)) -> np.ndarray:
    """Random features that move by whole patches from frame to frame, out at one side and in at the other."""
    first = np.random.default_rng(0).standard_normal((*size, CHANNELS)).astype(np.float32)
    return np.stack([np.roll(first, (frame * down, frame * right), axis=(0, 1)) for frame in range(frames)])[None]


def stays_inside(shape: tuple[int, int], down: int, right: int) -> np.ndarray:
    rows, columns = np.indices(shape)
    rows, columns = rows + down, columns + right
    return (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])


@pytest.mark.fast_cases("5-*")
@pytest.mark.parametrize(
    ("window", "offset", "down", "right"),
    [(3, 1, 1, -1), (5, 1, -2, 1), (9, 1, 4, -3), (5, 2, 1, -1), (5, -1, -2, 1), (9, -2, 2, 1), (3, 1, 0, 0)],
)
def test_a_planted_shift_is_the_field(window, offset, down, right):
    volume = volume_of(moving_features(down, right), window, frame_offset=offset)
    field = jax.device_get(field_of(volume, temperature=0.01, frame_offset=offset))
    pairs = 4 - abs(offset)
    assert field.flow.shape == (1, pairs, 9, 11, 2)
    inside = stays_inside((9, 11), offset * down, offset * right)
    truth = np.broadcast_to(np.float32([offset * right, offset * down]), (1, pairs, inside.sum(), 2))
    np.testing.assert_allclose(field.flow[:, :, inside], truth, atol=1e-3)
    assert field.confidence[:, :, inside].min() > 0.99


def test_displacements_that_leave_the_image_have_no_weight():
    volume = np.full((1, 1, 3, 4, 2, 9), -5.0, np.float32)
    weights = np.asarray(weights_of(volume))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)
    # The corner has four neighbours of nine, itself among them; what is left out would have been above it or beside it.
    np.testing.assert_allclose(weights[0, 0, 0, 0].reshape(3, 3), np.float32([[0, 0, 0], [0, 1, 1], [0, 1, 1]]) / 4)
    field = jax.device_get(field_of(volume))
    np.testing.assert_allclose(field.confidence, 0, atol=1e-6)  # all that can be is equally likely
    np.testing.assert_allclose(field.flow, 0, atol=1e-6)  # and does not seem to move inwards
    volume[..., 0] = 50.0  # up and to the left
    field = jax.device_get(field_of(volume))
    np.testing.assert_allclose(field.flow[0, 0, 1:, 1:], np.full((2, 3, 2), -1.0), atol=1e-5)
    np.testing.assert_allclose(field.confidence[0, 0, 1:, 1:], 1, atol=1e-5)
    np.testing.assert_allclose(field.confidence[0, 0, 0], 0, atol=1e-6)


def test_heads_are_read_apart_or_averaged():
    volume = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 3, 25)).astype(np.float32) * 3
    each, mean = (jax.device_get(field_of(volume, heads=heads)) for heads in ("each", "mean"))
    assert (each.flow.shape, each.confidence.shape) == ((2, 3, 3, 4, 5, 2), (2, 3, 3, 4, 5))
    weights = np.asarray(weights_of(volume, heads="each"))
    np.testing.assert_allclose(weights.mean(axis=1), weights_of(volume), atol=1e-6)
    second = field_of(volume, heads=1)
    np.testing.assert_allclose(each.flow[:, 1], second.flow, atol=1e-6)
    np.testing.assert_allclose(each.confidence[:, 1], second.confidence, atol=1e-6)
    # Heads that disagree are together less sure than in the mean of each.
    assert (mean.confidence <= each.confidence.mean(axis=1) + 1e-5).all()


@pytest.mark.fast_cases("2-*")
@pytest.mark.parametrize("keep_frames", [False, True])
@pytest.mark.parametrize("offset", [1, 2])
def test_both_cost_volumes_of_emim_say_where_features_went_and_came_from(keep_frames, offset):
    layer = Emim(
        heads=1,
        window=5,
        frame_offset=offset,
        neighbours="both",
        keep_frames=keep_frames,
        motion_branch=False,
        position_bias=False,
    )
    x = moving_features(1, -1)
    params = jax.jit(functools.partial(layer.init, train=False))(jax.random.key(0), x)["params"]
    identity = np.eye(CHANNELS, dtype=np.float32)
    params["qkv"]["kernel"] = np.concatenate([9 * identity, identity, identity], axis=1)
    apply = functools.partial(layer.apply, train=False, mutable=["intermediates"])
    _, state = jax.jit(apply)({"params": params}, x)
    for name, direction in (("cost_volume", offset), ("cost_volume_backward", -offset)):
        (volume,) = state["intermediates"][name]
        field = jax.device_get(field_of(volume, frame_offset=direction))
        assert field.flow.shape == (1, 4 - offset, 9, 11, 2)
        inside = stays_inside((9, 11), direction, -direction)
        truth = np.broadcast_to(np.float32([-direction, direction]), field.flow[:, :, inside].shape)
        np.testing.assert_allclose(field.flow[:, :, inside], truth, atol=1e-2)


def test_pixels_and_frames_of_a_field_are_those_of_the_video(small_model):
    model = small_model("uniformer", stem_temporal_stride=2, frames=8, frame_offset=2).model
    view = place_view((128, 256), tuple(range(3, 43, 5)), 64)
    name = "stage3/block0/attention/cost_volume"
    grid = token_grid(model, name, view)
    field = displacement.DisplacementField(np.ones((2, 4, 4, 2), np.float32), np.ones((2, 4, 4)), frame_offset=2)
    np.testing.assert_array_equal(field.in_pixels(grid)[0, 0, 0], [32, 32])  # 16 pixels of a video twice as large
    # Tokens are of every second frame of the clip, which are every fifth frame of the video.
    assert field.frame_pairs(grid) == [(3, 23), (13, 33)]
    backwards = displacement.DisplacementField(field.flow, field.confidence, frame_offset=-2)
    assert backwards.frame_pairs(grid) == [(23, 3), (33, 13)]


def test_fields_of_a_model_are_those_of_its_cost_volumes(small_model, everything):
    options = {"neighbours": "both", "frame_offset": 2, "scan_blocks": True}
    model, variables, clips = small_model("videomae", **options)
    patterns = ["blocks/block0/*/cost_volume*"]
    fields = displacement.record_displacements(model, variables, clips, patterns, heads="each", temperature=0.5)
    volumes = everything("videomae", **options).maps
    name = "blocks/block0/attention/cost_volume"
    assert {found: field.frame_offset for found, field in fields.items()} == {name: 2, f"{name}_backward": -2}
    for found, field in fields.items():
        expected = field_of(volumes[found], heads="each", temperature=0.5)
        np.testing.assert_allclose(field.flow, expected.flow, atol=1e-4)
        np.testing.assert_allclose(field.confidence, expected.confidence, atol=1e-4)


def test_a_chosen_patch_costs_its_window_and_not_the_volume(small_model, everything):
    model, variables, clips = small_model("videomae")
    patch = jax.tree_util.Partial(displacement.patch_affinities, np.int32(0), np.int32(1))
    name = "blocks/block0/attention/cost_volume"
    of_patch = np.asarray(recording.record(model, variables, clips, [name], transform=patch).maps[name])
    whole = np.asarray(everything("videomae").maps[name])
    assert of_patch.shape == (2, 2, 2, 3, 3)
    assert of_patch.size * 9 == whole.size
    np.testing.assert_allclose(of_patch[..., 1:, :].reshape(2, 2, 2, 6), whole[:, :, 0, 1, :, 3:], rtol=1e-4, atol=1e-4)
    assert np.isnan(of_patch[..., 0, :]).all()  # above the first row there is nothing


def test_pixels_of_a_moving_picture_say_its_motion():
    picture = np.random.default_rng(0).uniform(0, 255, (48, 48, 3)).astype(np.float32)
    clip = np.stack([np.roll(picture, (8 * frame, -16 * frame), axis=(0, 1)) for frame in range(2)])[None]
    patches = np.asarray(jax.jit(displacement.pixel_patches, static_argnums=1)(clip, 8))
    np.testing.assert_array_equal(patches[0, 1, 2, 3].reshape(8, 8, 3), clip[0, 1, 16:24, 24:32])
    flow = np.asarray(field_of(volume_of(patches, 5), temperature=0.01).flow)
    np.testing.assert_allclose(flow[0, 0, :-1, 2:], np.broadcast_to(np.float32([-2, 1]), (5, 4, 2)), atol=1e-3)


def test_mistakes_are_explained(small_model):
    volume = np.zeros((1, 2, 3, 3, 2, 9), np.float32)
    mistakes = {
        "must be above 0; given 0": lambda: displacement_field(volume, temperature=0),
        "heads 0 to 1; given 2": lambda: displacement_field(volume, heads=2),
        "expected a cost volume": lambda: displacement_field(volume[..., :8]),
        "odd number": lambda: patch_feature_cost_volume(np.zeros((1, 2, 3, 3, 4)), 4),
        "3 apart need": lambda: patch_feature_cost_volume(np.zeros((1, 3, 3, 3, 4)), 3, frame_offset=3),
        "There is one in models with EMIM": lambda: displacement.record_displacements(*small_model("resnet")),
    }
    for message, make in mistakes.items():
        with pytest.raises(motion_vit.UserError, match=message):
            make()
