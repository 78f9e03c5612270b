import functools

import jax
import numpy as np

from motion_vit.ops.frame_difference import frame_difference, neighbour_difference
from motion_vit.ops.temporal_shift import temporal_shift

RNG = np.random.default_rng(0)


def test_the_last_frame_is_followed_by_zero():
    x = RNG.standard_normal((2, 4, 3, 5)).astype(np.float32)
    difference = np.asarray(jax.jit(frame_difference)(x))
    np.testing.assert_array_equal(difference[:, :-1], x[:, 1:] - x[:, :-1])
    np.testing.assert_array_equal(difference[:, -1], -x[:, -1])


def test_frames_without_a_neighbour_differ_by_zero():
    x, neighbour = RNG.standard_normal((2, 2, 4, 3)).astype(np.float32)
    to_next, to_previous = (
        np.asarray(jax.jit(functools.partial(neighbour_difference, offset=offset))(x, neighbour)) for offset in (1, -1)
    )
    np.testing.assert_array_equal(to_next[:, :-1], neighbour[:, 1:] - x[:, :-1])
    np.testing.assert_array_equal(to_previous[:, 1:], neighbour[:, :-1] - x[:, 1:])
    np.testing.assert_array_equal(to_next[:, -1], 0)
    np.testing.assert_array_equal(to_previous[:, 0], 0)


def test_a_temporal_shift_moves_two_eighths_of_the_channels():
    x = RNG.standard_normal((1, 3, 2, 17)).astype(np.float32)
    shifted = np.asarray(jax.jit(temporal_shift)(x))
    np.testing.assert_array_equal(shifted[:, :-1, :, :2], x[:, 1:, :, :2])
    np.testing.assert_array_equal(shifted[:, 1:, :, 2:4], x[:, :-1, :, 2:4])
    np.testing.assert_array_equal(shifted[..., 4:], x[..., 4:])
    assert not shifted[:, -1, :, :2].any()
    assert not shifted[:, 0, :, 2:4].any()
