"""Windows of clips against the definitions of Video Swin, written with NumPy and loops."""

import itertools

import jax
import numpy as np
import pytest

from motion_vit.ops.clip_windows import (
    clip_windows,
    join_windows,
    places_in_clip,
    relative_position_bias,
    split_windows,
    window_regions,
)

CASES = [
    ((4, 6, 4), (2, 3, 2), True),  # whole windows
    ((5, 7, 9), (4, 3, 4), True),  # padding along every axis
    ((3, 6, 2), (4, 3, 2), True),  # a single window in time and along columns, which is not shifted
    ((5, 4, 3), (2, 2, 2), False),
]


def split_and_join(x, windows):
    split = split_windows(x, windows)
    return split, join_windows(split, windows)


@pytest.mark.fast_cases("(5, 4, 3)-*", "(3, 6, 2)-*")
@pytest.mark.parametrize(("grid", "window", "shifted"), CASES, ids=str)
def test_windows_are_rolled_boxes_of_the_padded_clip(grid, window, shifted):
    windows = clip_windows(grid, window, shifted=shifted)
    x = np.random.default_rng(0).standard_normal((2, *grid, 3)).astype(np.float32)
    size = tuple(min(pair) for pair in zip(grid, window, strict=True))
    shift = tuple(side // 2 if shifted and side < length else 0 for side, length in zip(window, grid, strict=True))
    assert (windows.size, windows.shift) == (size, shift)
    padded = np.pad(x, [(0, 0), *((0, -length % side) for length, side in zip(grid, size, strict=True)), (0, 0)])
    rolled = np.roll(padded, [-step for step in shift], (1, 2, 3))
    starts = itertools.product(*(range(0, end, side) for end, side in zip(rolled.shape[1:4], size, strict=True)))
    boxes = [
        rolled[:, t : t + size[0], h : h + size[1], w : w + size[2]].reshape(2, windows.tokens, 3) for t, h, w in starts
    ]
    split, joined = jax.jit(split_and_join, static_argnums=1)(x, windows)
    np.testing.assert_array_equal(split, np.stack(boxes, axis=1))
    np.testing.assert_array_equal(joined, x)
    np.testing.assert_array_equal(places_in_clip(windows), np.stack(boxes, axis=1)[0, ..., 0] != 0)


@pytest.mark.parametrize(("grid", "window", "shifted"), CASES, ids=str)
def test_tokens_of_a_region_are_those_that_the_shift_did_not_tear_apart(grid, window, shifted):
    windows = clip_windows(grid, window, shifted=shifted)
    regions = np.zeros([count * side for count, side in zip(windows.counts, windows.size, strict=True)])
    pieces = [
        (slice(0, -side), slice(-side, -step), slice(-step, None)) if step else (slice(None),)
        for side, step in zip(windows.size, windows.shift, strict=True)
    ]
    for number, piece in enumerate(itertools.product(*pieces)):
        regions[piece] = number
    unshifted = clip_windows(regions.shape, windows.size, shifted=False)
    expected = np.asarray(split_windows(jax.device_put(np.float32(regions[None, ..., None])), unshifted))[0, ..., 0]
    found = window_regions(windows)
    same = found[:, :, None] == found[:, None, :]
    np.testing.assert_array_equal(same, expected[:, :, None] == expected[:, None, :])


@pytest.mark.fast_cases("(2, 3, 3)")
@pytest.mark.parametrize("window", [(2, 3, 3), (3, 1, 2), (1, 2, 1)], ids=str)
def test_the_bias_of_a_pair_is_that_of_its_displacement(window):
    sides = [2 * side - 1 for side in window]
    table = np.random.default_rng(1).standard_normal((np.prod(sides), 2)).astype(np.float32)
    places = np.array(list(itertools.product(*map(range, window))))
    apart = places[:, None] - places[None, :] + np.array(window) - 1
    index = (apart[..., 0] * sides[1] + apart[..., 1]) * sides[2] + apart[..., 2]
    for tokens in {len(places), max(1, len(places) - window[2]), 1}:
        bias = jax.jit(relative_position_bias, static_argnums=(1, 2))(table, window, tokens)
        np.testing.assert_array_equal(bias, np.moveaxis(table[index[:tokens, :tokens]], -1, 0))
