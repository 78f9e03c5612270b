"""How soon the answer comes and goes with the pixels that a map calls important."""

import dataclasses

import numpy as np
import planted_answers as planted
import planted_maps
import pytest

import motion_vit
from motion_vit.visualization.attribution_maps import box_grid
from motion_vit.visualization.clip_view import place_view
from motion_vit.visualization.insertion_deletion import answer_curves, pixel_scores
from motion_vit.visualization.integrated_gradients import integrated_gradients

BOX = ((1, 3), (4, 8), (4, 8))


def clip() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.6, 1.0, (4, 12, 12, 3)).astype(np.float32)


def planted_scores() -> np.ndarray:
    scores = np.zeros((4, 12, 12), np.float32)
    scores[tuple(slice(*pair) for pair in BOX)] = 1
    return scores


def test_the_true_map_is_better_than_random_ones_and_its_opposite_worse():
    model = planted.BoxBrightness(BOX)
    true = answer_curves(model, {}, clip(), planted_scores(), 1)
    opposite = answer_curves(model, {}, clip(), -planted_scores(), 1)
    for seed in range(2):
        scores = np.random.default_rng(seed).random((4, 12, 12), np.float32)
        random = answer_curves(model, {}, clip(), scores, 1)
        assert true.insertion_area > random.insertion_area + 0.1 > opposite.insertion_area
        assert true.deletion_area < random.deletion_area - 0.1 < opposite.deletion_area
    gradients = np.asarray(integrated_gradients(model, {}, clip()[None], 1, steps=2))[0]
    found = answer_curves(model, {}, clip(), gradients, 1)
    assert found.insertion_area == pytest.approx(true.insertion_area, abs=0.02)


def test_curves_begin_and_end_with_the_whole_clip_and_with_nothing():
    model = planted.BoxBrightness(BOX)
    curves = answer_curves(model, {}, clip(), planted_scores(), 1, steps=7)
    logits = np.asarray(model.apply({}, np.stack([clip(), 0 * clip()])))
    whole, nothing = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[:, 1]
    assert len(curves.shares) == len(curves.deletion) == len(curves.insertion) == 8
    np.testing.assert_allclose((curves.shares[0], curves.shares[-1]), (0, 1))
    np.testing.assert_allclose((curves.deletion[0], curves.insertion[-1]), whole, rtol=1e-5)
    np.testing.assert_allclose((curves.deletion[-1], curves.insertion[0]), nothing, rtol=1e-5)


def test_a_map_of_boxes_is_spread_over_the_pixels_of_its_frames():
    view = place_view((12, 12), tuple(range(5)), 12)
    grid = box_grid(view, (2, 4, 4))
    values = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    scores = pixel_scores(values, grid)
    assert scores.shape == (5, 12, 12)
    # In the middle of a box, between four pixels, is its own value.
    for frame, row, column in np.ndindex(5, 3, 3):
        middle = scores[frame, 4 * row + 1 : 4 * row + 3, 4 * column + 1 : 4 * column + 3].mean()
        assert middle == pytest.approx(values[frame // 2, row, column], abs=0.7 if row in (0, 2) else 0.2)
    planted_grid = dataclasses.replace(planted_maps.grid(), video_size=(60, 90))
    outside = pixel_scores(planted_maps.scalar().values[0], planted_grid)
    assert (outside[:, :, :15] == 0).all()
    assert outside[1].max() > 0


def test_mistakes_are_explained():
    model = planted.BoxBrightness(BOX)
    for arguments, message in (
        ((clip(), planted_scores()[:3], 1), "has scores"),
        ((clip(), planted_scores(), 3), "the model has the classes 0 to 2; given 3"),
        ((np.full_like(clip(), np.nan), planted_scores(), 1), "the logits of a changed clip are NaN or infinite"),
    ):
        with pytest.raises(motion_vit.UserError, match=message):
            answer_curves(model, {}, *arguments)
    with pytest.raises(motion_vit.UserError, match="steps is 0"):
        answer_curves(model, {}, clip(), planted_scores(), 1, steps=0)
