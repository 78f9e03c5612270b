import functools

import jax
import numpy as np
import pytest

from motion_vit.training.inputs.targets import smoothed_targets
from motion_vit.training.losses.cross_entropy import cross_entropy


@functools.partial(jax.jit, static_argnames="smoothing")
def losses_of(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    """The loss of each clip, with smoothed labels."""
    classes = logits.shape[1]
    return cross_entropy([1] * classes)(logits, smoothed_targets(labels, classes, smoothing))


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes() -> None:
    loss = losses_of(np.zeros((3, 5), np.float32), np.array([0, 1, 2]), smoothing=0.1)
    np.testing.assert_allclose(loss, [np.log(5)] * 3, rtol=1e-6)


def test_a_certain_answer_costs_what_its_target_says() -> None:
    loss = losses_of(np.array([[0, 300]], np.float32), np.array([0]), smoothing=0.0)
    assert float(loss[0]) == pytest.approx(300)
