import jax
import numpy as np
import pytest

from motion_vit.training.losses.class_weighted import class_weighted
from motion_vit.training.losses.focal import focal

COUNTS = (6, 3, 1)
LOGITS = np.random.default_rng(0).standard_normal((6, 3), np.float32)
TARGETS = np.tile(np.eye(3, dtype=np.float32), (2, 1))


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_without_gamma_it_is_the_cross_entropy_with_the_weights_of_classes(power: float) -> None:
    losses = focal(COUNTS, gamma=0.0, power=power), class_weighted(COUNTS, power=power)
    found, expected = jax.jit(lambda *inputs: [loss(*inputs) for loss in losses])(LOGITS, TARGETS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_a_clip_counts_less_the_more_probable_its_class_is(gamma: float) -> None:
    """Equation 4 of the paper, whose figure 1 draws it: `(1 - p) ** gamma` of the cross entropy."""
    p = np.array([0.01, 0.3, 0.5, 0.9, 0.999])
    logits = np.log(np.array([p, 1 - p], np.float32)).T
    found = jax.jit(focal((1, 1), gamma=gamma))(logits, np.array([[1, 0]] * 5, np.float32))
    np.testing.assert_allclose(found, -((1 - p) ** gamma) * np.log(p), rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients_are_finite_for_certain_answers_right_and_wrong(gamma: float) -> None:
    loss = focal((1, 1), gamma=gamma)
    logits = np.array([[200, -200], [-200, 200], [0, 0]], np.float32)
    compiled = jax.jit(jax.grad(lambda logits, targets: loss(logits, targets).sum()))
    gradient = np.asarray(compiled(logits, np.array([[1, 0]] * 3, np.float32)))
    assert np.isfinite(gradient).all()
    assert gradient[1, 0] < -0.5


def test_a_negative_gamma_is_refused() -> None:
    with pytest.raises(ValueError, match="gamma is -1"):
        focal((1, 1), gamma=-1)
