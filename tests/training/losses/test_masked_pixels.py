"""What masked autoencoding predicts, and when its loss is zero."""

import jax
import numpy as np
import pytest

from motion_vit.ops.tubelets import tubelet_pixels
from motion_vit.training.losses.masked_pixels import (
    TubeletStatistics,
    masked_pixel_loss,
    masked_targets,
    tubelet_statistics,
)

TUBELET = (2, 4, 4)


targets_of = jax.jit(masked_targets, static_argnames=("tubelet", "normalise"))


def clips() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(2, 4, 8, 8, 3)).astype(np.float32)


def test_each_colour_of_a_target_has_mean_zero_and_deviation_one() -> None:
    targets = np.asarray(targets_of(clips(), TUBELET)).reshape(2, 2, 4, 32, 3)
    np.testing.assert_allclose(targets.mean(axis=3), 0, atol=1e-5)
    np.testing.assert_allclose(targets.std(axis=3, ddof=1), 1, rtol=1e-4)


def test_statistics_turn_a_target_into_the_pixels_again() -> None:
    @jax.jit
    def pixels_and_statistics(clips: jax.Array) -> tuple[jax.Array, TubeletStatistics]:
        pixels = tubelet_pixels(clips, TUBELET)
        return pixels, tubelet_statistics(pixels)

    pixels, (mean, std) = jax.device_get(pixels_and_statistics(clips()))
    targets = np.asarray(targets_of(clips(), TUBELET)).reshape(pixels.shape)
    np.testing.assert_allclose(targets * std + mean, pixels, atol=1e-6)


def test_a_tubelet_of_one_colour_is_a_target_of_zeros() -> None:
    targets = targets_of(np.full((2, 4, 8, 8, 3), 0.3, np.float32), TUBELET)
    np.testing.assert_allclose(targets, 0, atol=1e-1)
    assert np.isfinite(targets).all()


def test_plain_targets_are_the_pixels() -> None:
    pixels = np.asarray(jax.jit(lambda clips: tubelet_pixels(clips, TUBELET))(clips()))
    targets = targets_of(clips(), TUBELET, normalise=False)
    np.testing.assert_array_equal(targets, pixels.reshape(targets.shape))


def test_the_loss_is_that_of_what_counts_and_zero_where_nothing_does() -> None:
    targets, loss = np.asarray(targets_of(clips(), TUBELET)), jax.jit(masked_pixel_loss)
    off, counted = targets.copy(), np.ones((2, 2, 4), bool)
    off[:, :, 0] += 2
    off[:, :, 1] += 100
    counted[:, :, 1] = False
    np.testing.assert_allclose(loss(off, targets, counted), [4 / 3, 4 / 3], rtol=1e-5)
    assert loss(targets, targets, counted).tolist() == [0, 0]
    assert loss(off, targets, np.zeros((2, 2, 4), bool)).tolist() == [0, 0]
    assert np.mean(loss(np.zeros_like(targets), targets, counted)) == pytest.approx(31 / 32, 1e-3)
