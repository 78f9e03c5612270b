import jax
import numpy as np
import pytest

from motion_vit.training.losses.clip_mean import clip_mean


def test_a_clip_of_weight_zero_does_not_count() -> None:
    losses, mean = np.array([1, 3, 500], np.float32), jax.jit(clip_mean)
    assert float(mean(losses, np.array([1, 1, 0], np.float32))) == pytest.approx(2)
    assert float(mean(losses, np.zeros(3, np.float32))) == 0


def test_the_means_of_parts_add_up_to_that_of_the_batch() -> None:
    losses, weights = np.array([1, 3, 8, 2], np.float32), np.array([1, 1, 1, 0], np.float32)
    mean = jax.jit(clip_mean)
    parts = [float(mean(losses[rows], weights[rows], weights.sum())) for rows in (slice(0, 2), slice(2, 4))]
    assert sum(parts) == pytest.approx(float(mean(losses, weights)))
