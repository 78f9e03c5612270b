"""A bright spot is planted in a video, and the maps of tokens must show it where it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motion_vit
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.encoding import write_video
from motion_vit.modules.residual_block import ResidualStem
from motion_vit.visualization import recording
from motion_vit.visualization.clip_view import place_view, read_view
from motion_vit.visualization.displacement import pixel_patches
from motion_vit.visualization.token_grid import TokenGrid, token_grid

SIZE = 48


def patch_model(**options):
    """A model whose tokens of stage 3 are 6 x 6 pixels large."""
    return motion_vit.create_model(
        "uniformer_emim_tiny", patch_sizes=(3, 2, 1, 2), image_size=SIZE, frames=4, **options
    )


def with_spot(size: tuple[int, int], y: float, x: float, sigma: float = 4.0) -> np.ndarray:
    """Two dark frames with a bright round spot at a place."""
    rows, columns = (np.arange(length) + 0.5 for length in size)
    spot = np.exp(-(((rows[:, None] - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)))
    return np.repeat(np.round(255 * spot).astype(np.uint8)[None, ..., None], 3, axis=-1).repeat(2, axis=0)


def centroid(brightness: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    total = brightness.sum()
    return (brightness * y).sum() / total, (brightness * x).sum() / total


@pytest.mark.parametrize(("crop", "crops"), [(0, 1), (0, 3), (1, 3), (2, 3)])
@pytest.mark.parametrize("video_size", [(48, 48), (97, 161), (120, 75), (33, 47), (31, 31)])
def test_a_spot_is_found_where_it_was_planted(video_size, crop, crops):
    view = place_view(video_size, (0, 1), SIZE, crop=crop, crops=crops)
    grid = token_grid(patch_model(), "stage3/block0/attention/cost_volume", view)
    assert (grid.rows, grid.columns) == (8, 8)
    # Between the centres of tokens, off the middle, and far enough from the edge of the crop to be seen whole.
    top, left, height, width = grid.box
    y, x = top + 0.44 * height, left + 0.57 * width
    clip = view.cut(with_spot(video_size, y, x, sigma=min(height, width) / 14))
    pooled = np.asarray(pixel_patches(jnp.asarray(clip[None], jnp.float32), 6)).mean(axis=-1)[0, 0]
    rows, columns = np.indices(pooled.shape)
    assert centroid(pooled, *grid.centre(rows, columns)) == pytest.approx((y, x), abs=0.5)
    assert grid.patch_at(y, x) == np.unravel_index(pooled.argmax(), pooled.shape)
    drawn = grid.to_video(pooled[None])[0]
    assert drawn.shape == video_size
    places = np.indices(video_size) + 0.5
    assert centroid(np.nan_to_num(drawn), *places) == pytest.approx((y, x), abs=0.5)
    bottom, right = top + height, left + width
    seen = (places[0] >= top) & (places[0] < bottom) & (places[1] >= left) & (places[1] < right)
    np.testing.assert_array_equal(~np.isnan(drawn), seen)


def test_tokens_of_convolutions_lie_on_every_stride_th_pixel():
    """What a feature of the stem of a ResNet depends on is centred on the place that the grid gives it."""
    stem = ResidualStem(1)
    clip = jnp.ones((1, 1, 40, 40, 3))
    shapes = jax.eval_shape(lambda: stem.init(jax.random.key(0), clip, train=False))
    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    feature = jax.jit(jax.grad(lambda clip: stem.apply(variables, clip, train=False)[0, 0, 4, 5, 0]))
    reached = feature(clip)[0, 0, ..., 0]
    middles = [(places.min() + places.max() + 1) / 2 for places in np.nonzero(np.asarray(reached))]
    model = motion_vit.create_model("resnet18_tiny", image_size=40, frames=1)
    grid = token_grid(model, "stem_output", place_view((40, 40), (0,), 40))
    assert tuple(middles) == grid.centre(4, 5)
    later = token_grid(model, "stage4/block1_output", place_view((80, 80), (0,), 40))
    assert later.centre(1, 0) == (2 * 32.5, 1.0)
    assert later.box == (0, 0, 80, 80)


@pytest.mark.fast_cases("resnet-*", "videomae-*-75")
@pytest.mark.parametrize("size", [64, 75])
@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("uniformer", {"stem_temporal_stride": 2, "frames": 5, "motion_module": "m2a"}),
        ("uniformer", {"input_adapter": "motion_prompt"}),
        ("timesformer", {"motion_module": "m2a"}),
        ("videomae", {"motion_module": "m2a", "input_adapter": "motion_prompt"}),
        ("video_swin", {"motion_module": "m2a", "input_adapter": "motion_prompt"}),
        ("vivit", {"attention": "factorised_dot_product", "pooling": "mean", "placement": "gg"}),
        ("resnet", {"motion_module": "m2a"}),
        ("mobilenetv2", {"motion_module": "m2a", "input_adapter": "motion_prompt"}),
        ("slowfast", {"motion_module": "m2a", "input_adapter": "motion_prompt"}),
        ("slowfast", {"fast_pathway": False, "temporal_pool": True, "frames": 5}),
        ("inception_i3d", {"motion_module": "m2a", "input_adapter": "motion_prompt"}),
        ("x3d", {"motion_module": "m2a"}),
        ("video_resnet", {"motion_module": "m2a", "frames": 5}),
        ("video_resnet", {"max_pool": True, "motion_module": "m2a", "input_adapter": "motion_prompt"}),
    ],
)
def test_layouts_have_the_shapes_of_what_they_describe(small_model, family, options, size):
    model = small_model(family, **options).model
    clip_shape = (model.clip_shape[0], size, size, 3)
    compared = 0
    for name, array in recording.names(model, clip_shape).items():
        if len(array.shape) == 5 or name.endswith("attention_map"):
            layout = model.token_layout(name, clip_shape)
            assert (layout.frames, layout.rows, layout.columns) == array.shape[1:4], name
            compared += 1
    assert compared >= 2


def test_patches_that_are_not_whole_are_not_seen():
    model = motion_vit.create_model("timesformer_tiny", patch_size=16, image_size=SIZE)
    grid = token_grid(model, "blocks/block0_output", place_view((50, 50), (0, 1), 50))
    assert (grid.rows, grid.columns, grid.box) == (3, 3, (0, 0, 48, 48))
    assert np.isnan(grid.to_video(np.ones((1, 3, 3), np.float32)))[0, 48:].all()


def test_frames_of_tokens_are_those_of_the_stem_and_of_the_prompts():
    numbers = tuple(range(10, 45, 5))
    view = place_view((60, 60), numbers, SIZE, times=tuple(number / 10 for number in numbers))
    halved = token_grid(patch_model(stem_temporal_stride=2), "norm_output", view)
    assert halved.clip_frames == (0, 2, 4, 6)
    assert halved.token_frames == (0, 0, 1, 1, 2, 2, 3)
    prompted = token_grid(patch_model(input_adapter="motion_prompt"), "backbone/norm_output", view)
    assert prompted.clip_frames == (1, 2, 3, 4, 5, 6)
    assert prompted.token_frames == (0, 0, 1, 2, 3, 4, 5)
    assert prompted.times == (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)


def test_frames_of_the_slow_pathway_are_those_that_it_sees():
    view = place_view((60, 60), range(9), 60)
    model = motion_vit.create_model("slowfast_tiny", frames=8, frame_ratio=2, input_adapter="motion_prompt")
    for name in ("slow_stage2/block0_output", "lateral_stage1_output", "features_output"):
        assert token_grid(model, f"backbone/{name}", view).clip_frames == (1, 3, 5, 8)
    assert token_grid(model, "backbone/fast_stage4/block0_output", view).clip_frames == tuple(range(1, 9))
    pooled = motion_vit.create_model("slowfast_tiny", fast_pathway=False, temporal_pool=True)
    assert token_grid(pooled, "stage1/block0_output", view).clip_frames == tuple(range(9))
    assert token_grid(pooled, "stage2/block0_output", view).clip_frames == (0, 2, 4, 6)


@pytest.mark.parametrize("sampling", ["dense", "segment"])
def test_a_view_of_a_file_is_what_evaluation_sees(tmp_path, sampling):
    frames = np.zeros((23, 40, 64, 3), np.uint8)
    frames[range(23), :, :, 0] = np.arange(23, dtype=np.uint8)[:, None, None] * 10
    frames[:, 10:30, 20:44] = 200
    write_video(tmp_path / "clip.mp4", frames, fps=10)
    clip = StoredClip(id="clip", label=0, video=str(tmp_path / "clip.mp4"))
    options = ClipOptions(frames=4, size=32, sampling=sampling, stride=3)
    views = clip_views(clip, options, clips=2, crops=3)
    for number, crop in ((0, 1), (1, 2)):
        view, pixels = read_view(clip, options, number=number, clips=2, crop=crop, crops=3)
        np.testing.assert_array_equal(pixels, views[3 * number + crop])
        assert view.times == pytest.approx([frame / 10 for frame in view.frame_numbers])
        # The red of a frame tells its number; the spot is left out.
        np.testing.assert_allclose(pixels[:, 1, 1, 0], np.asarray(view.frame_numbers) * 10, atol=6)
    assert view.video_size == (40, 64)


def test_a_clip_of_one_frame_shows_no_motion(tmp_path):
    write_video(tmp_path / "still.mp4", np.zeros((1, 32, 32, 3), np.uint8))
    clip = StoredClip(id="still", label=0, video=str(tmp_path / "still.mp4"))
    with pytest.raises(motion_vit.UserError, match="has 1 frame, too few to see motion in"):
        read_view(clip, ClipOptions(frames=4, size=32))


def small_grid() -> TokenGrid:
    return token_grid(patch_model(), "stage3/block0_output", place_view((96, 160), (0, 1, 2, 3), SIZE))


def test_places_outside_of_the_crop_are_named():
    grid = small_grid()
    assert grid.patch_at(0, 32.1) == (0, 0)
    with pytest.raises(motion_vit.UserError, match=r"sees nothing at y=50, x=10: .* x from 32 to 128"):
        grid.patch_at(50, 10)
    with pytest.raises(motion_vit.UserError, match=r"expected maps \[t, 8, 8\]"):
        grid.to_video(np.zeros((4, 7, 8), np.float32))
    with pytest.raises(motion_vit.UserError, match="given crop 3 of 3"):
        place_view((96, 160), (0, 1), SIZE, crop=3, crops=3)


@pytest.mark.parametrize("name", ["head", "stage5/block0_output"])
def test_names_without_a_place_are_named(name):
    with pytest.raises(motion_vit.UserError, match=f"'{name}' has no place in the frame"):
        token_grid(patch_model(), name, place_view((96, 160), (0, 1), SIZE))


def test_a_scaled_grid_is_that_of_a_smaller_video():
    half = small_grid().scaled(0.5)
    assert (half.video_size, half.box) == ((48, 80), (0, 16, 48, 48))
    assert half.centre(0, 1) == (3, 25)
    assert half.to_video(np.ones((2, 8, 8), np.float32)).shape == (2, 48, 80)


def test_the_shares_of_tokens_fill_what_they_see_and_are_what_lies_nearest(small_model):
    """Also of convolutions, whose first window is centred on the first pixel and whose last one ends early."""
    view = place_view((64, 96), (0, 1, 2), 32)
    for family, name, shares in (
        ("resnet", "stage1/block0_output", [5, 8, 8, 8, 8, 8, 8, 11]),
        ("uniformer", "patch_embed1_output", [8] * 8),
    ):
        grid = token_grid(small_model(family, image_size=32).model, name, view)
        rows, columns = grid.edges
        assert (rows[0], rows[-1], columns[0], columns[-1]) == (0, 64, 16, 80)
        np.testing.assert_allclose(np.diff(rows), shares)
        assert grid.patch_box(0, 7) == pytest.approx((0, 80 - shares[7], shares[0], shares[7]))
        for y in (0.5, 12.9, 13.1, 63.5):
            row, _ = grid.patch_at(y, 20.0)
            assert rows[row] <= y < rows[row + 1]
