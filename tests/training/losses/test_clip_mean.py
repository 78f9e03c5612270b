import jax.numpy as jnp
import pytest

from motion_vit.training.losses.clip_mean import clip_mean


def test_a_clip_of_weight_zero_does_not_count() -> None:
    assert float(clip_mean(jnp.array([1.0, 3.0, 500.0]), jnp.array([1.0, 1.0, 0.0]))) == pytest.approx(2)
    assert float(clip_mean(jnp.array([1.0, 3.0]), jnp.zeros(2))) == 0


def test_the_means_of_parts_add_up_to_that_of_the_batch() -> None:
    losses, weights = jnp.array([1.0, 3.0, 8.0, 2.0]), jnp.array([1.0, 1.0, 1.0, 0.0])
    total = jnp.sum(weights)
    parts = [clip_mean(losses[rows], weights[rows], total) for rows in (slice(0, 2), slice(2, 4))]
    assert float(sum(parts)) == pytest.approx(float(clip_mean(losses, weights)))
