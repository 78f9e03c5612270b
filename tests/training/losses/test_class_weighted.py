import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from motion_vit.training.inputs.targets import smoothed_targets
from motion_vit.training.losses.class_weighted import class_weighted, class_weights
from motion_vit.training.losses.cross_entropy import cross_entropy

COUNTS = (90, 9, 1)
LOGITS = jax.random.normal(jax.random.key(0), (6, 3))
TARGETS = smoothed_targets(jnp.array([0, 1, 2, 0, 1, 2]), 3, 0.1)


def test_without_power_it_is_the_cross_entropy() -> None:
    found = class_weighted(COUNTS, power=0.0)(LOGITS, TARGETS)
    np.testing.assert_allclose(found, cross_entropy(COUNTS)(LOGITS, TARGETS), rtol=1e-6)


def test_classes_have_the_same_share_in_the_loss_and_the_mean_weight_of_a_clip_is_one() -> None:
    weights = class_weights(COUNTS, 1.0)
    np.testing.assert_allclose(weights * COUNTS, [100 / 3] * 3)
    for power in (0.0, 0.5, 1.0):
        assert np.dot(class_weights(COUNTS, power), COUNTS) / sum(COUNTS) == pytest.approx(1)


def test_weights_of_ones_own_are_pytorchs_up_to_their_scale() -> None:
    weights = (0.2, 1.0, 5.0)
    found = class_weighted(COUNTS, weights=weights)(LOGITS, TARGETS)
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(np.asarray(LOGITS)),
        torch.tensor(np.asarray(TARGETS)),
        weight=torch.tensor(weights),
        reduction="none",
    ).numpy()
    scale = sum(COUNTS) / np.dot(weights, COUNTS)
    np.testing.assert_allclose(found, scale * theirs, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"power": -1.0}, "power is -1.0"),
        ({"power": float("nan")}, "power is nan"),
        ({"weights": (1.0, 2.0)}, "2 weights for 3 classes"),
        ({"weights": (1.0, 2.0, -1.0)}, "weights is .*, each a number from 0"),
        ({"weights": (0.0, 0.0, 0.0)}, "one of them must be above 0"),
    ],
)
def test_weights_that_weigh_nothing_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_weighted(COUNTS, **options)


def test_a_class_without_clips_has_a_finite_weight() -> None:
    assert np.isfinite(class_weights((5, 0), 1.0)).all()
