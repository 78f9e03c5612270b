"""Masks: how many places they hide, in which frames, and where motion leads them."""

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.training.masking.mask_sampler import MaskKind, MaskSampler
from motion_vit.training.masking.motion_guided import matching_places, motion_guided_scores
from motion_vit.training.masking.running_cells import dropped_cells

TUBELET = (2, 4, 4)


def pixels(clips: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(clips, 8, 24, 24, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", ["tube", "random", "motion"])
def test_a_mask_splits_the_places_of_every_frame_into_as_many_hidden_ones(kind: MaskKind) -> None:
    sampler = MaskSampler(TUBELET, (4, 6, 6), kind, ratio=0.75)
    draw = jax.jit(sampler)
    mask = jax.device_get(draw(jax.random.key(1), pixels()))
    assert sampler.visible_places == 9
    assert mask.visible.shape == (3, 4, 9)
    assert mask.predicted.shape == (3, 4, 27)
    assert bool(mask.counted.all())
    both = np.sort(np.concatenate([mask.visible, mask.predicted], axis=-1), axis=-1)
    np.testing.assert_array_equal(both, np.broadcast_to(np.arange(36), (3, 4, 36)))
    same_in_all_frames = bool((mask.visible == mask.visible[:, :1]).all())
    assert same_in_all_frames == (kind == "tube")
    assert not np.array_equal(mask.visible, draw(jax.random.key(2), pixels()).visible)


def test_tubes_hide_each_place_equally_often() -> None:
    sampler = MaskSampler(TUBELET, (1, 4, 4), "tube", ratio=0.75)
    mask = jax.jit(sampler)(jax.random.key(0), np.zeros((4000, 2, 16, 16, 3), np.float32))
    counts = np.bincount(np.asarray(mask.visible).ravel(), minlength=16)
    # 4000 draws of 4 places of 16: 1000 each, with a deviation of 27.
    assert abs(counts - 1000).max() < 5 * 27


def test_the_published_ratio_hides_as_many_places_as_the_authors() -> None:
    assert MaskSampler((2, 16, 16), (8, 14, 14), ratio=0.9).visible_places == 196 - 176


def test_running_cells_are_those_of_the_authors() -> None:
    packed = goldens.load("videomae_pretrain_tiny")["running_cells_8x14x14"]
    expected = np.unpackbits(packed, axis=1)[:, : 8 * 196].reshape(4, 8, 196).astype(bool)
    np.testing.assert_array_equal(dropped_cells(8, 14, 14, 0.5), expected)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_decoder_mask_predicts_a_part_of_which_hidden_places_count(share: float) -> None:
    sampler = MaskSampler(TUBELET, (4, 6, 6), ratio=0.75, decoder_ratio=share)
    mask = jax.device_get(jax.jit(sampler)(jax.random.key(1), pixels()))
    assert mask.predicted.shape == (3, 4, round(36 * (1 - share)))
    for clip, frame in np.ndindex(3, 4):
        seen = np.isin(mask.predicted[clip, frame], mask.visible[clip, frame])
        np.testing.assert_array_equal(mask.counted[clip, frame], ~seen)
    # Over a whole turn of the pattern, each place is predicted as often as any other.
    counts = np.stack([np.bincount(np.ravel(one), minlength=36) for one in np.asarray(mask.predicted)])
    np.testing.assert_array_equal(counts, round(4 * (1 - share)))


def test_scores_follow_what_moves() -> None:
    rng = np.random.default_rng(3)
    world = rng.uniform(size=(24, 24 + 4 * 3, 3)).astype(np.float32)
    # All moves to the left by one tubelet from each frame of tubelets to the next.
    frames = [world[:, 4 * time : 4 * time + 24] for time in range(4) for _ in range(2)]
    draw = jax.jit(motion_guided_scores, static_argnums=2)
    scores = draw(jax.random.key(0), jnp.asarray(np.stack(frames))[None], TUBELET)
    grid = np.asarray(scores).reshape(4, 6, 6)
    for frame in range(3):
        np.testing.assert_array_equal(grid[frame + 1][:, :-1], grid[frame][:, 1:])


def test_what_has_no_texture_stays_where_it_is() -> None:
    features = jnp.zeros((1, 2, 5, 4, 8))
    np.testing.assert_array_equal(jax.jit(matching_places)(features, features)[0, 1], np.arange(20))


def test_a_mask_that_hides_nothing_or_all_is_refused() -> None:
    with pytest.raises(UserError, match=r"mask_ratio is 0\.1, which hides 0 of the 4 places"):
        MaskSampler(TUBELET, (4, 2, 2), ratio=0.1)
    with pytest.raises(UserError, match=r"decoder_mask is 0\.5, a pattern of 2 x 2 places, which do not fill 5 x 6"):
        MaskSampler(TUBELET, (4, 5, 6), decoder_ratio=0.5)
    with pytest.raises(UserError, match=r"decoder_mask is 0\.3, but must be one of 0\.0, 0\.25, 0\.5, 0\.75"):
        MaskSampler(TUBELET, (4, 6, 6), decoder_ratio=0.3)
