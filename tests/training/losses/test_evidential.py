"""Evidential losses: the numbers of the authors' code, and what evidence promises."""

from typing import Any

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from motion_vit import UserError
from motion_vit.training.losses.evidence import EVIDENCE_NAMES, evidence_of, expected_probabilities, uncertainty
from motion_vit.training.losses.evidential import calibration_loss, divergence_from_uniform, evidential
from motion_vit.training.losses.registry import make_loss
from motion_vit.training.recipe.checks import validate_fields

GOLDEN = goldens.load("dear/evidence")
LOGITS = jnp.asarray(GOLDEN["logits"])
TARGETS = jax.nn.one_hot(jnp.asarray(GOLDEN["target"]), LOGITS.shape[1])
EPOCHS = 50
CASES = [
    (*key.split("/")[:2], key.split("/")[2] == "kl")
    for key in GOLDEN
    if key.endswith("/total") and not key.startswith("dear/")
]


def value_and_gradient(options: dict[str, Any], progress: float) -> tuple[jax.Array, jax.Array]:
    loss = make_loss("evidential", options, (1,) * LOGITS.shape[1])
    return jax.value_and_grad(lambda logits: loss(logits, TARGETS, progress=jnp.float32(progress)).mean())(LOGITS)


@pytest.mark.parametrize(("evidence", "risk", "kl"), CASES)
def test_losses_and_gradients_are_those_of_the_authors_code(evidence: str, risk: str, kl: bool) -> None:
    options = {"evidence": evidence, "risk": risk, "kl": kl, "calibration": False}
    total, gradient = value_and_gradient(options, 25 / EPOCHS)
    name = f"{evidence}/{risk}/{'kl' if kl else 'nokl'}"
    np.testing.assert_allclose(total, GOLDEN[f"{name}/total"], rtol=1e-5)
    goldens.assert_gradient_matches(GOLDEN, f"{name}/grad", gradient)


@pytest.mark.parametrize("epoch", GOLDEN["epochs"].tolist())
def test_the_loss_of_dear_is_that_of_the_authors_code_at_every_epoch(epoch: int) -> None:
    total, gradient = value_and_gradient({}, epoch / EPOCHS)
    np.testing.assert_allclose(total, GOLDEN[f"dear/epoch{epoch}/total"], rtol=1e-5)
    goldens.assert_gradient_matches(GOLDEN, f"dear/epoch{epoch}/grad", gradient)
    annealed = GOLDEN["annealing_exp"][GOLDEN["epochs"].tolist().index(epoch)]
    found = calibration_loss(evidence_of(LOGITS, "exp"), TARGETS, float(annealed))
    np.testing.assert_allclose(found, GOLDEN[f"dear/epoch{epoch}/loss_avu"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", EVIDENCE_NAMES)
def test_uncertainty_is_that_of_the_authors_code(name: str) -> None:
    np.testing.assert_allclose(uncertainty(evidence_of(LOGITS, name)), GOLDEN[f"{name}/uncertainty"], rtol=1e-5)


def test_without_evidence_everything_is_uncertain_and_all_classes_are_as_probable() -> None:
    nothing = evidence_of(jnp.full((2, 5), -3.0), "relu")
    np.testing.assert_array_equal(uncertainty(nothing), 1)
    np.testing.assert_allclose(expected_probabilities(nothing), 0.2, rtol=1e-6)
    np.testing.assert_allclose(divergence_from_uniform(nothing + 1), 0, atol=5e-6)  # roundings of gammaln
    assert (divergence_from_uniform(nothing + 1 + jnp.eye(2, 5)) > 0.01).all()


def test_early_the_certain_mistakes_are_punished_and_late_the_uncertain_hits() -> None:
    sure, unsure = jnp.array([[9.0, 0.0, 0.0]]), jnp.array([[0.1, 0.0, 0.0]])
    right, wrong = jnp.array([[1.0, 0.0, 0.0]]), jnp.array([[0.0, 1.0, 0.0]])
    assert calibration_loss(sure, wrong, 0.01) > 10 * calibration_loss(unsure, right, 0.01)
    assert calibration_loss(unsure, right, 1.0) > calibration_loss(sure, right, 1.0) > 0
    assert calibration_loss(sure, wrong, 1.0) == 0


@pytest.mark.fast_cases("options2")
@pytest.mark.parametrize("options", [{}, {"risk": "digamma", "kl": True}, {"risk": "mse"}])
def test_gradients_are_finite_whatever_the_logits(options: dict[str, Any]) -> None:
    for evidence in EVIDENCE_NAMES:
        loss = evidential((), evidence=evidence, **options)
        logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]])
        for progress in (0.0, 1.0):
            gradient = jax.grad(
                lambda logits, loss=loss, progress=progress: loss(
                    logits, jnp.eye(3), progress=jnp.float32(progress)
                ).sum()
            )(logits)
            assert jnp.isfinite(gradient).all(), (evidence, progress)


@pytest.mark.parametrize(
    ("field", "value"), [("loss.label_smoothing", 0.1), ("augmentation.mixup", 0.8), ("augmentation.cutmix", 1.0)]
)
def test_calibration_refuses_targets_that_are_no_labels(field: str, value: float, small_config: ConfigDict) -> None:
    small_config.loss.name, small_config.loss.label_smoothing = "evidential", 0.0
    validate_fields(small_config)
    group, name = field.split(".")
    small_config[group][name] = value
    with pytest.raises(UserError, match=rf"config field {field} is .*loss\.options\.calibration=False"):
        validate_fields(small_config)
    small_config.loss.options.calibration = False
    validate_fields(small_config)


@pytest.mark.mistyped
@pytest.mark.parametrize("options", [{"evidence": "square"}, {"annealing_start": 0.0}, {"risk": None}, {"kl": 1}])
def test_a_value_that_it_cannot_have_is_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} is"):
        evidential((), **options)
