import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.training.inputs.random_erasing import random_erasing

# No draw of a normal distribution: what has changed was erased.
UNTOUCHED = 100.0


@functools.cache
def eraser(**options: Any) -> Callable[..., jax.Array]:
    """The compiled function, shared by the tests that ask for the same."""
    return jax.jit(functools.partial(random_erasing, **options))


def erase(clips: int, size: tuple[int, int], key: int, dtype: Any = jnp.float32, **options: Any) -> np.ndarray:
    untouched = np.full((clips, 2, *size, 3), UNTOUCHED, dtype)
    return np.asarray(eraser(**options)(untouched, jax.random.key(key, impl="rbg")))


def boxes(erased: np.ndarray) -> list[tuple[int, int]]:
    """Height and width of each clip's box, after making sure that it is one, and the same in all frames."""
    sides = []
    for clip in erased != UNTOUCHED:
        mask = clip.all(axis=-1)
        np.testing.assert_array_equal(mask, clip.any(axis=-1))  # all three colours
        np.testing.assert_array_equal(mask, np.broadcast_to(mask[0], mask.shape))  # all frames
        rows, columns = mask[0].any(axis=1), mask[0].any(axis=0)
        np.testing.assert_array_equal(mask[0], rows[:, None] & columns[None, :])
        assert all((np.diff(np.flatnonzero(line)) == 1).all() for line in (rows, columns))
        sides.append((int(rows.sum()), int(columns.sum())))
    return sides


def test_every_clip_loses_one_box_that_stays_in_place() -> None:
    sides = np.array(boxes(erase(400, (32, 40), key=0, probability=1.0)))
    assert (sides > 0).all()
    assert (sides < [32, 40]).all()


def test_boxes_keep_to_the_shares_of_area_and_to_the_ratios() -> None:
    height, width = np.array(boxes(erase(300, (48, 48), key=1, probability=1.0, area=(0.1, 0.3), ratio=(0.5, 2.0)))).T
    # Each side is rounded to a whole pixel.
    assert (((height + 0.5) * (width + 0.5)) >= 0.1 * 48**2).all()
    assert (((height - 0.5) * (width - 0.5)) <= 0.3 * 48**2).all()
    assert ((height + 0.5) / (width - 0.5) >= 0.5).all()
    assert ((height - 0.5) / (width + 0.5) <= 2.0).all()
    assert np.mean(height * width) / 48**2 == pytest.approx(0.2, abs=0.02)
    assert (height > width).mean() == pytest.approx(0.5, abs=0.1)


def test_boxes_reach_every_border() -> None:
    mask = (erase(400, (32, 40), key=2, probability=1.0) != UNTOUCHED)[:, 0, :, :, 0]
    for line in (mask.any(axis=2), mask.any(axis=1)):
        first, last = line.argmax(axis=1), line[:, ::-1].argmax(axis=1)
        assert first.min() == last.min() == 0
        # As far from one border as from the other.
        assert first.mean() == pytest.approx(last.mean(), abs=2)


def test_the_noise_is_standard_normal_and_new_for_each_frame() -> None:
    erased = erase(400, (32, 40), key=3, probability=1.0)
    noise = erased[erased != UNTOUCHED]
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)
    within_one = np.mean(np.abs(noise) < 1)
    assert within_one == pytest.approx(0.6827, abs=0.01)
    inside = (erased != UNTOUCHED).all(axis=(1, -1))
    first, second = (erased[:, frame][inside].ravel() for frame in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_the_share_of_erased_clips_is_the_probability() -> None:
    erased = (erase(1000, (8, 8), key=4, probability=0.25) != UNTOUCHED).any(axis=(1, 2, 3, 4))
    # Four standard deviations of the binomial distribution.
    assert erased.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 1000))


def test_probability_zero_changes_nothing_and_draws_nothing() -> None:
    clips = jnp.zeros((2, 3, 8, 8, 3))
    program = jax.make_jaxpr(functools.partial(random_erasing, probability=0.0))(clips, jax.random.key(0))
    assert not program.eqns


def test_a_clip_into_which_no_box_fits_stays_whole() -> None:
    assert (erase(50, (4, 400), key=5, probability=1.0, area=(0.3, 0.33), ratio=(0.9, 1.1)) == UNTOUCHED).all()


def test_a_long_picture_is_erased_by_boxes_that_fit() -> None:
    sides = np.array(boxes(erase(200, (16, 64), key=6, probability=1.0)))
    assert (sides < [16, 64]).all()
    assert (sides > 0).all(axis=1).mean() > 0.95


def test_the_key_alone_decides() -> None:
    first, again, other = (erase(1000, (8, 8), key, probability=0.25) for key in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.fast_cases("bfloat16")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_dtype_is_kept(dtype: jnp.dtype) -> None:
    erased = erase(1000, (8, 8), 9, dtype, probability=0.25)
    assert erased.dtype == dtype
    assert (erased != UNTOUCHED).any()
