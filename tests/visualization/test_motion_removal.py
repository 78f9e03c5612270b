"""How much an answer depends on the motion of the patches that a map calls important."""

import numpy as np
import planted_answers as planted
import pytest

import motion_vit
from motion_vit.visualization.attribution_maps import box_grid
from motion_vit.visualization.clip_view import place_view
from motion_vit.visualization.displacement import DisplacementField
from motion_vit.visualization.motion_removal import (
    freeze,
    motion_removal,
    patch_tracks,
    track_region,
    track_scores,
)

FRAMES, SIDE, PATCH = 4, 24, 4
GRID = box_grid(place_view((SIDE, SIDE), tuple(range(FRAMES)), SIDE), (1, PATCH, PATCH))
BOX = ((8, 16), (4, 12))


def field(x: float, y: float) -> DisplacementField:
    """All patches move alike; lengths in patches."""
    flow = np.broadcast_to(np.asarray([x, y], np.float32), (FRAMES - 1, GRID.rows, GRID.columns, 2))
    return DisplacementField(flow, np.ones(flow.shape[:-1], np.float32))


def noise(frames: int = FRAMES) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(frames, SIDE, SIDE, 3)).astype(np.float32)


def box_scores() -> np.ndarray:
    scores = np.zeros((FRAMES, SIDE, SIDE), np.float32)
    scores[:, slice(*BOX[0]), slice(*BOX[1])] = 1
    return scores


def remove(model, variables, clip, scores, **options):
    return motion_removal(model, variables, clip, scores, field(0, 0), GRID, 0, **options)


def test_freezing_the_motion_that_the_answer_is_made_of_drops_it_and_other_motion_does_not():
    model = planted.BoxMotion(BOX)
    found = remove(model, {}, noise(), box_scores(), share=4 / 36)
    expected = np.zeros((SIDE, SIDE), bool)
    expected[slice(*BOX[0]), slice(*BOX[1])] = True
    np.testing.assert_array_equal(found.region, expected)
    assert found.whole > 0.95
    assert found.frozen < 0.05
    assert found.score > 0.5
    other = remove(model, {}, noise(), -box_scores(), share=4 / 36)
    assert not (other.region & expected).any()
    assert other.frozen == pytest.approx(other.whole)
    assert other.score < 0.05


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_freezing_what_does_not_move_changes_nothing(small_model, share):
    model, variables, _ = small_model("resnet")
    rng = np.random.default_rng(1)
    still = np.repeat(rng.normal(size=(1, 32, 32, 3)).astype(np.float32), 3, axis=0)
    grid = box_grid(place_view((32, 32), (0, 1, 2), 32), (1, 8, 8))
    drifting = rng.normal(size=(2, 4, 4, 2)).astype(np.float32)
    found = motion_removal(
        model,
        variables,
        still,
        rng.random((3, 32, 32), np.float32),
        DisplacementField(drifting, np.ones((2, 4, 4), np.float32)),
        grid,
        2,
        share=share,
        draws=4,
    )
    assert found.frozen == pytest.approx(found.whole, abs=1e-6)
    assert found.score == pytest.approx(0, abs=1e-6)


def test_a_track_covers_its_patch_in_every_frame_until_it_leaves():
    tracks = patch_tracks(field(1, 0), GRID)
    assert tracks.shape == (FRAMES, 36, 2)
    # The patch of row 1 and column 0 goes to column 3 in four frames; that of column 4 leaves after column 5.
    for column, last in ((0, 3), (4, 5)):
        region = track_region(tracks[:, [6 + column]], GRID, SIDE, SIDE)
        expected = np.zeros((SIDE, SIDE), bool)
        expected[PATCH : 2 * PATCH, column * PATCH : (last + 1) * PATCH] = True
        np.testing.assert_array_equal(region, expected)
    moving = np.zeros((FRAMES, SIDE, SIDE), np.float32)
    for frame in range(FRAMES):
        moving[frame, PATCH : 2 * PATCH, frame * PATCH : (frame + 1) * PATCH] = 1
    scores = track_scores(moving, tracks, GRID)
    assert scores[6] == 1
    assert np.delete(scores, 6).max() == 0


def test_the_frozen_region_shows_the_first_frame_and_the_surroundings_stay():
    clip, region = noise(), np.random.default_rng(2).random((SIDE, SIDE)) > 0.5
    frozen = freeze(clip, region)
    for frame in range(FRAMES):
        np.testing.assert_array_equal(frozen[frame][region], clip[0][region])
        np.testing.assert_array_equal(frozen[frame][~region], clip[frame][~region])


def test_other_places_have_as_many_pixels_and_depend_on_the_seed_alone():
    model = planted.BoxMotion(BOX)
    first, again, other = (
        remove(model, {}, noise(), box_scores(), share=0.2, draws=8, seed=seed).moved.tolist() for seed in (0, 0, 1)
    )
    assert first == again != other
    everywhere = remove(model, {}, noise(), box_scores(), share=1.0)
    np.testing.assert_allclose(everywhere.moved, everywhere.frozen, rtol=1e-6)


def test_mistakes_are_explained():
    model = planted.BoxMotion(BOX)
    for options, message in (
        ({"share": 0.0}, "share is 0.0 and draws is 14"),
        ({"share": 1.5}, "share is 1.5"),
        ({"draws": 0}, "draws is 0"),
    ):
        with pytest.raises(motion_vit.UserError, match=message):
            remove(model, {}, noise(), box_scores(), **options)
    with pytest.raises(motion_vit.UserError, match="the scores have the shape"):
        remove(model, {}, noise(), box_scores()[:2])
    with pytest.raises(motion_vit.UserError, match="the model has the classes 0 to 1; given 2"):
        motion_removal(model, {}, noise(), box_scores(), field(0, 0), GRID, 2)
