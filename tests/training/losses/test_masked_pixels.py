"""What masked autoencoding predicts, and when its loss is zero."""

import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.ops.tubelets import tubelet_pixels
from motion_vit.training.losses.masked_pixels import masked_pixel_loss, masked_targets, tubelet_statistics

TUBELET = (2, 4, 4)


def clips() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(2, 4, 8, 8, 3)).astype(np.float32)


def test_each_colour_of_a_target_has_mean_zero_and_deviation_one() -> None:
    targets = np.asarray(masked_targets(jnp.asarray(clips()), TUBELET)).reshape(2, 2, 4, 32, 3)
    np.testing.assert_allclose(targets.mean(axis=3), 0, atol=1e-5)
    np.testing.assert_allclose(targets.std(axis=3, ddof=1), 1, rtol=1e-4)


def test_statistics_turn_a_target_into_the_pixels_again() -> None:
    pixels = tubelet_pixels(jnp.asarray(clips()), TUBELET)
    mean, std = tubelet_statistics(pixels)
    targets = masked_targets(jnp.asarray(clips()), TUBELET).reshape(pixels.shape)
    np.testing.assert_allclose(targets * std + mean, pixels, atol=1e-6)


def test_a_tubelet_of_one_colour_is_a_target_of_zeros() -> None:
    targets = masked_targets(jnp.full((1, 4, 8, 8, 3), 0.3), TUBELET)
    np.testing.assert_allclose(targets, 0, atol=1e-1)
    assert bool(jnp.isfinite(targets).all())


def test_plain_targets_are_the_pixels() -> None:
    pixels = tubelet_pixels(jnp.asarray(clips()), TUBELET)
    targets = masked_targets(jnp.asarray(clips()), TUBELET, normalise=False)
    np.testing.assert_array_equal(targets, pixels.reshape(targets.shape))


def test_the_loss_is_that_of_what_counts_and_zero_where_nothing_does() -> None:
    targets = masked_targets(jnp.asarray(clips()), TUBELET)
    off = targets.at[:, :, 0].add(2.0).at[:, :, 1].add(100.0)
    counted = jnp.ones((2, 2, 4), bool).at[:, :, 1].set(False)
    losses = masked_pixel_loss(off, targets, counted)
    np.testing.assert_allclose(losses, [4 / 3, 4 / 3], rtol=1e-5)
    assert masked_pixel_loss(targets, targets, counted).tolist() == [0, 0]
    assert masked_pixel_loss(off, targets, jnp.zeros((2, 2, 4), bool)).tolist() == [0, 0]
    assert float(jnp.mean(masked_pixel_loss(jnp.zeros_like(targets), targets, counted))) == pytest.approx(31 / 32, 1e-3)
