import jax
import numpy as np
import pytest
import torch

from motion_vit.training.losses.class_weighted import class_weighted, class_weights
from motion_vit.training.losses.cross_entropy import cross_entropy

COUNTS = (90, 9, 1)
LOGITS = np.random.default_rng(0).standard_normal((6, 3), np.float32)
TARGETS = np.tile(0.9 * np.eye(3, dtype=np.float32) + np.float32(0.1 / 3), (2, 1))


def test_without_power_it_is_the_cross_entropy() -> None:
    losses = class_weighted(COUNTS, power=0.0), cross_entropy(COUNTS)
    found, expected = jax.jit(lambda *inputs: [loss(*inputs) for loss in losses])(LOGITS, TARGETS)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_classes_have_the_same_share_in_the_loss_and_the_mean_weight_of_a_clip_is_one() -> None:
    weights = class_weights(COUNTS, 1.0)
    np.testing.assert_allclose(weights * COUNTS, [100 / 3] * 3)
    for power in (0.0, 0.5, 1.0):
        assert np.dot(class_weights(COUNTS, power), COUNTS) / sum(COUNTS) == pytest.approx(1)


def test_weights_of_ones_own_are_pytorchs_up_to_their_scale() -> None:
    weights = (0.2, 1.0, 5.0)
    found = jax.jit(class_weighted(COUNTS, weights=weights))(LOGITS, TARGETS)
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(LOGITS),
        torch.tensor(TARGETS),
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
