import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.errors import UserError
from motion_vit.training.inputs.mixing import check_partners, mix

Draws = tuple[np.ndarray, np.ndarray]

# With peaked distributions, so that no share is so near 0 or 1 that a box is empty or everything.
BOTH = {"mixup_alpha": 20.0, "cutmix_alpha": 20.0, "probability": 0.7, "switch_probability": 0.2}
# Of six clips in two groups: the clips in the middle of a group are their own partners.
PARTNERS = [2, 1, 0, 5, 4, 3]
DRAWS = 1000


@functools.cache
def mixer(**options: float) -> Callable[..., Draws]:
    """Clip `i` of six is `i` everywhere and its class is `i`: what it holds and aims at says what was mixed in."""
    numbers = np.arange(6, dtype=np.float32)[:, None, None, None, None]
    clips = np.broadcast_to(numbers, (6, 2, 12, 10, 3))
    mixed = functools.partial(mix, groups=2, **options)

    def draw(weights: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        keys = jax.random.split(key, DRAWS)
        return jax.vmap(lambda key: mixed(jnp.asarray(clips), jnp.eye(6), weights, key))(keys)

    return jax.jit(draw)


@functools.cache
def draws(weights: tuple[int, ...] = (1,) * 6, seed: int = 0, **options: float) -> Draws:
    """Clips `[draws, 6, frames, height, width, 3]` and targets `[draws, 6, classes]`."""
    return jax.device_get(mixer(**options)(np.float32(weights), jax.random.key(seed, impl="threefry2x32")))


def own_shares(targets: np.ndarray) -> np.ndarray:
    """Of each draw and clip, the share of its own class."""
    return np.diagonal(targets, axis1=1, axis2=2)


def is_cutmix(clips: np.ndarray) -> np.ndarray:
    """Of each draw, whether the first clip holds nothing but pixels of itself and of its partner, and both."""
    return np.array([set(np.unique(clip)) == {0.0, 2.0} for clip in clips[:, 0]])


def is_blend(clips: np.ndarray) -> np.ndarray:
    """Of each draw, whether the first clip is the same everywhere, and neither itself nor its partner."""
    same = np.ptp(clips[:, 0], axis=(1, 2, 3, 4)) < 1e-5
    return same & (clips[:, 0, 0, 0, 0, 0] > 0) & (clips[:, 0, 0, 0, 0, 0] < 2)


def test_targets_sum_to_one_and_name_a_clip_and_its_partner_alone() -> None:
    _, targets = draws(**BOTH)
    np.testing.assert_allclose(targets.sum(axis=-1), 1, atol=1e-6)
    assert (targets >= 0).all()
    assert (targets[:, np.eye(6) + np.eye(6)[PARTNERS] == 0] == 0).all()
    for clip in (0, 2, 3, 5):
        assert (targets[:, clip, PARTNERS[clip]] > 0).mean() > 0.65


def test_the_share_of_the_target_is_the_share_of_the_clip() -> None:
    clips, targets = draws(**BOTH)
    share = own_shares(targets)
    expected = share * np.arange(6) + (1 - share) * np.array(PARTNERS)
    np.testing.assert_allclose(clips.mean(axis=(2, 3, 4, 5)), expected, atol=1e-5)


def test_one_share_serves_the_whole_batch() -> None:
    share = own_shares(draws(**BOTH)[1])[:, [0, 2, 3, 5]]
    np.testing.assert_allclose(share, share[:, :1].repeat(4, axis=1), atol=1e-6)
    assert len(np.unique(share[:, 0])) > 500


def test_a_clip_of_weight_zero_is_mixed_into_no_other() -> None:
    clips, targets = draws(weights=(0, 1, 1, 1, 1, 1), **BOTH)
    for clip in (0, 2):
        assert (clips[:, clip] == clip).all()
        assert (targets[:, clip] == np.eye(6)[clip]).all()
    for clip in (3, 5):
        assert (own_shares(targets)[:, clip] < 1).mean() > 0.65


def test_the_key_alone_decides() -> None:
    first, again, other = (draws(seed=seed, **BOTH) for seed in (3, 3, 4))
    chex.assert_trees_all_equal(first, again)
    assert (first[1] != other[1]).any()


def test_a_batch_is_blended_everywhere_or_a_box_is_cut_out_of_all_frames() -> None:
    clips, targets = draws(**BOTH)
    mixed = own_shares(targets)[:, 0] < 1
    cutmix = is_cutmix(clips)
    np.testing.assert_array_equal(is_blend(clips), mixed & ~cutmix)
    cut = clips[cutmix, 0] == 2.0
    np.testing.assert_array_equal(cut, np.broadcast_to(cut[:, :1, :, :, :1], cut.shape))
    for mask in cut[:, 0, :, :, 0]:
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        np.testing.assert_array_equal(mask, rows[:, None] & columns[None, :])
        assert all((np.diff(np.flatnonzero(line)) == 1).all() for line in (rows, columns))


def test_mixing_and_cutmix_come_with_their_probabilities() -> None:
    clips, targets = draws(**BOTH)
    mixed = own_shares(targets)[:, 0] < 1
    # Four standard deviations of the binomial distributions.
    assert mixed.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.7 * 0.3 / DRAWS))
    assert is_cutmix(clips[mixed]).mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / (0.7 * DRAWS)))
    assert (clips[~mixed] == np.arange(6)[:, None, None, None, None]).all()


def test_mixup_draws_shares_from_the_beta_distribution() -> None:
    clips, targets = draws(**BOTH)
    share = own_shares(targets)[is_blend(clips), 0]
    # Of Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)).
    assert share.mean() == pytest.approx(0.5, abs=0.015)
    assert share.var() == pytest.approx(1 / (4 * 41), rel=0.2)


@pytest.mark.slow
def test_mixup_alone_draws_shares_from_the_beta_distribution() -> None:
    clips, targets = draws(mixup_alpha=0.8, cutmix_alpha=0.0)
    assert not is_cutmix(clips).any()
    share = own_shares(targets)[:, 0]
    # Of Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)).
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.var() == pytest.approx(1 / (4 * 2.6), rel=0.1)


def test_cutmix_alone_cuts_boxes_of_the_pictures_shape_around_any_centre() -> None:
    clips, _ = draws(mixup_alpha=0.0, cutmix_alpha=500.0)
    assert is_cutmix(clips).all()
    cut = clips[:, 0, 0, :, :, 0] == 2.0
    heights, widths = cut.any(axis=2).sum(axis=1), cut.any(axis=1).sum(axis=1)
    # Half the area is 0.707 of each side, 8.5 and 7.1 pixels, rounded down to even; less where the border cuts it.
    assert (heights.max(), widths.max()) == (8, 6)
    tops, lefts = cut.any(axis=2).argmax(axis=1), cut.any(axis=1).argmax(axis=1)
    assert (set(tops), set(lefts)) == (set(range(8)), set(range(7)))
    # Of 12 x 10 centres, all equally likely, 5 x 5 leave the box whole.
    assert np.mean((heights == 8) & (widths == 6)) == pytest.approx(25 / 120, abs=0.05)


@pytest.mark.parametrize("options", [{**BOTH, "probability": 0.0}, {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}])
def test_mixing_that_is_off_computes_nothing(options: dict[str, float]) -> None:
    arguments = jnp.ones((1, 2, 4, 4, 3)), jnp.ones((1, 1)), jnp.ones(1), jax.random.key(0)
    assert not jax.make_jaxpr(functools.partial(mix, **options))(*arguments).eqns


def test_the_dtype_of_clips_is_kept_and_targets_stay_float32() -> None:
    arguments = jnp.ones((2, 1, 4, 4, 3), jnp.bfloat16), jnp.eye(2), jnp.ones(2), jax.random.key(0)
    clips, targets = jax.eval_shape(functools.partial(mix, **BOTH), *arguments)
    assert (clips.dtype, targets.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize(("batch_size", "groups", "advice"), [(8, 8, 16), (12, 8, 16), (1, 1, 2), (20, 8, 24)])
def test_a_batch_without_partners_is_refused(batch_size: int, groups: int, advice: int) -> None:
    with pytest.raises(UserError, match=rf"{batch_size} clips on {groups} device.*such as {advice}"):
        check_partners(batch_size, groups)
    with pytest.raises(UserError, match="blend clips in pairs"):
        mix(
            jnp.ones((batch_size, 1, 4, 4, 3)),
            jnp.ones((batch_size, 1)),
            jnp.ones(batch_size),
            jax.random.key(0),
            **BOTH,
            groups=groups,
        )
