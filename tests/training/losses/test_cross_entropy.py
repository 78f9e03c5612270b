import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.training.inputs.targets import smoothed_targets
from motion_vit.training.losses.cross_entropy import soft_target_cross_entropy


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes() -> None:
    loss = soft_target_cross_entropy(jnp.zeros((3, 5)), smoothed_targets(jnp.array([0, 1, 2]), 5, 0.1), jnp.ones(3))
    assert float(loss) == pytest.approx(np.log(5), rel=1e-6)


def test_an_example_of_weight_zero_does_not_count() -> None:
    logits = jnp.array([[2.0, 0.0], [0.0, 3.0], [-50.0, 50.0]])
    targets = smoothed_targets(jnp.array([0, 1, 0]), 2, 0.0)
    without = soft_target_cross_entropy(logits[:2], targets[:2], jnp.ones(2))
    assert soft_target_cross_entropy(logits, targets, jnp.array([1.0, 1.0, 0.0])) == pytest.approx(float(without))
    assert float(soft_target_cross_entropy(logits, targets, jnp.zeros(3))) == 0


def test_the_loss_is_float32_for_half_precision_logits() -> None:
    logits = jnp.array([[300.0, 0.0]], jnp.bfloat16)
    loss = soft_target_cross_entropy(logits, smoothed_targets(jnp.array([1]), 2, 0.0), jnp.ones(1))
    assert loss.dtype == jnp.float32
    assert float(loss) == pytest.approx(300, rel=0.01)
