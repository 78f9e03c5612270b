import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.training.inputs.targets import smoothed_targets
from motion_vit.training.losses.cross_entropy import cross_entropy


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes() -> None:
    loss = cross_entropy([1] * 5)(jnp.zeros((3, 5)), smoothed_targets(jnp.array([0, 1, 2]), 5, 0.1))
    np.testing.assert_allclose(loss, [np.log(5)] * 3, rtol=1e-6)


def test_a_certain_answer_costs_what_its_target_says() -> None:
    loss = cross_entropy([1, 1])(jnp.array([[0.0, 300.0]]), smoothed_targets(jnp.array([0]), 2, 0.0))
    assert float(loss[0]) == pytest.approx(300)
