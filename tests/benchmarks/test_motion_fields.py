"""Fields of motion are compared with the truth, and what finds it has no error."""

import motion_fields
import numpy as np
import pytest
from small_trained_model import small_trained_model

from motion_vit.errors import UserError
from motion_vit.training.recipe.clips import clip_options

OPTIONS = {
    "widths": (8, 8, 8, 8),
    "depths": (1, 1, 1, 1),
    "head_channels": 8,
    "patch_sizes": (2, 2, 1, 2),
    "window": 5,
    "depthwise_implementation": "xla_conv",
}


@pytest.fixture(scope="module")
def trained():
    model = small_trained_model(name="uniformer_emim_tiny", **OPTIONS)
    model.config.data.sampling, model.config.data.stride = "dense", 2
    return model


@pytest.mark.slow
def test_pixels_that_move_by_whole_patches_are_found_and_standing_still_is_wrong(trained):
    """Noise on a picture of 32 pixels, patches of 4: the fastest textures move by little more than a patch."""
    clips = [
        motion_fields.Clip(np.stack([np.roll(picture, 2 * frame, axis=1) for frame in range(8)]), (2.0, 0.0), cover)
        for picture, cover in (
            (np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8), np.ones((8, 32, 32)))
            for seed in range(4)
        )
    ]
    rows = {
        (row.field, row.layer[:6]): row for row in motion_fields.compare(trained, clips, clip_options(trained.config))
    }
    found, still = rows["pixels, tuned", "stage3"], rows["no motion", "stage3"]
    assert (found.endpoint, found.angular, found.direction) == pytest.approx((0, 0, 0), abs=0.1)
    # Between the frames of a pair, 2 apart, pixels move by 4; a patch of eight leaves the picture.
    assert still.endpoint == pytest.approx(4)
    assert still.angular == pytest.approx(np.degrees(np.arctan(4)))
    assert np.isnan(still.direction)
    assert still.patches == found.patches == 2 * 3 * 8 * 7
    assert {field for field, _ in rows} == {
        "EMIM",
        "EMIM, tuned",
        "EMIM, fresh weights",
        "EMIM, fresh weights, tuned",
        "patch features, tuned",
        "pixels, tuned",
        "no motion",
    }
    lines = motion_fields.table(list(rows.values())).splitlines()
    assert f"| stage3/block0 | no motion |  | 4.00 | {still.angular:.1f}° |  |" in lines
    assert len(lines) == 2 + len(rows)


def test_textures_move_by_their_velocity():
    (clip,) = list(motion_fields.textures(21, 3, 64, apart=2))[-1:]
    assert np.hypot(*clip.velocity) == pytest.approx(0.06 * 64 / 2)
    still, moved = (clip.frames[frame].astype(np.float32) for frame in (0, 2))
    shift = tuple(round(2 * part) for part in clip.velocity[::-1])
    back = np.roll(moved, np.negative(shift), axis=(0, 1))[8:-8, 8:-8]
    assert np.abs(back - still[8:-8, 8:-8]).mean() < 0.3 * np.abs(moved - still)[8:-8, 8:-8].mean()


def test_only_patches_that_the_object_covers_count(trained):
    (clip,) = motion_fields.scenes(1, 8, 32)
    view = motion_fields.place_view((32, 32), (0, 2, 4, 6), 32)
    grid = motion_fields.token_grid(trained.model, "stage3/block0/attention/cost_volume", view)
    counted, displacements = motion_fields.moving_patches(clip, grid, 1)
    assert counted.shape == (3, 8, 8)
    assert 0 < counted.mean() < 0.6
    np.testing.assert_allclose(displacements, np.broadcast_to(np.multiply(clip.velocity, 2), (3, 2)))
    covered = clip.cover[0].reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert covered[counted[0]].min() > 0.5


def test_models_without_cost_volumes_are_named(trained):
    other = small_trained_model(name="resnet18_tiny", widths=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    clips = list(motion_fields.scenes(2, 8, 32))
    with pytest.raises(UserError, match="There is one in models with EMIM"):
        motion_fields.compare(other, clips, clip_options(other.config))
