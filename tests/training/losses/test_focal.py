import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.training.inputs.targets import smoothed_targets
from motion_vit.training.losses.class_weighted import class_weighted
from motion_vit.training.losses.focal import focal

COUNTS = (6, 3, 1)
LOGITS = jax.random.normal(jax.random.key(0), (6, 3))
TARGETS = smoothed_targets(jnp.array([0, 1, 2, 0, 1, 2]), 3, 0.0)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_without_gamma_it_is_the_cross_entropy_with_the_weights_of_classes(power: float) -> None:
    found = focal(COUNTS, gamma=0.0, power=power)(LOGITS, TARGETS)
    np.testing.assert_allclose(found, class_weighted(COUNTS, power=power)(LOGITS, TARGETS), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_a_clip_counts_less_the_more_probable_its_class_is(gamma: float) -> None:
    """Equation 4 of the paper, whose figure 1 draws it: `(1 - p) ** gamma` of the cross entropy."""
    p = np.array([0.01, 0.3, 0.5, 0.9, 0.999])
    logits = jnp.log(jnp.array([p, 1 - p], jnp.float32)).T
    found = focal((1, 1), gamma=gamma)(logits, jnp.array([[1.0, 0.0]] * 5))
    np.testing.assert_allclose(found, -((1 - p) ** gamma) * np.log(p), rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients_are_finite_for_certain_answers_right_and_wrong(gamma: float) -> None:
    loss = focal((1, 1), gamma=gamma)
    logits = jnp.array([[200.0, -200.0], [-200.0, 200.0], [0.0, 0.0]])
    gradient = jax.grad(lambda x: jnp.sum(loss(x, jnp.array([[1.0, 0.0]] * 3))))(logits)
    assert jnp.isfinite(gradient).all()
    assert gradient[1, 0] < -0.5


def test_a_negative_gamma_is_refused() -> None:
    with pytest.raises(ValueError, match="gamma is -1"):
        focal((1, 1), gamma=-1)
