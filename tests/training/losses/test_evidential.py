"""Evidential losses: the numbers of the authors' code, and what evidence promises."""

import functools
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
LOGITS = GOLDEN["logits"]
TARGETS = np.eye(LOGITS.shape[1], dtype=np.float32)[GOLDEN["target"]]
EPOCHS = 50
CASES = [
    (*key.split("/")[:2], key.split("/")[2] == "kl")
    for key in GOLDEN
    if key.endswith("/total") and not key.startswith("dear/")
]


def value_and_gradient(
    options: dict[str, Any], logits: jax.Array, targets: jax.Array, progress: jax.Array
) -> tuple[jax.Array, jax.Array]:
    loss = make_loss("evidential", options, (1,) * LOGITS.shape[1])
    return jax.value_and_grad(lambda logits: loss(logits, targets, progress=progress).mean())(logits)


@jax.jit
def of_dear(
    logits: jax.Array, targets: jax.Array, progress: jax.Array, annealed: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The loss by default, its gradient, and the part of it that calibrates."""
    calibration = calibration_loss(evidence_of(logits, "exp"), targets, annealed)
    return *value_and_gradient({}, logits, targets, progress), calibration


@pytest.mark.fast_cases("exp-log-*", "relu-mse-False", "softplus-digamma-False", "relu-cross_entropy-True")
@pytest.mark.parametrize(("evidence", "risk", "kl"), CASES)
def test_losses_and_gradients_are_those_of_the_authors_code(evidence: str, risk: str, kl: bool) -> None:
    options = {"evidence": evidence, "risk": risk, "kl": kl, "calibration": False}
    compiled = jax.jit(functools.partial(value_and_gradient, options))
    total, gradient = compiled(LOGITS, TARGETS, np.float32(25 / EPOCHS))
    name = f"{evidence}/{risk}/{'kl' if kl else 'nokl'}"
    np.testing.assert_allclose(total, GOLDEN[f"{name}/total"], rtol=1e-5)
    goldens.assert_gradient_matches(GOLDEN, f"{name}/grad", gradient)


@pytest.mark.parametrize("epoch", GOLDEN["epochs"].tolist())
def test_the_loss_of_dear_is_that_of_the_authors_code_at_every_epoch(epoch: int) -> None:
    annealed = GOLDEN["annealing_exp"][GOLDEN["epochs"].tolist().index(epoch)]
    total, gradient, calibration = of_dear(LOGITS, TARGETS, np.float32(epoch / EPOCHS), np.float32(annealed))
    np.testing.assert_allclose(total, GOLDEN[f"dear/epoch{epoch}/total"], rtol=1e-5)
    goldens.assert_gradient_matches(GOLDEN, f"dear/epoch{epoch}/grad", gradient)
    np.testing.assert_allclose(calibration, GOLDEN[f"dear/epoch{epoch}/loss_avu"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", EVIDENCE_NAMES)
def test_uncertainty_is_that_of_the_authors_code(name: str) -> None:
    found = jax.jit(lambda logits: uncertainty(evidence_of(logits, name)))(LOGITS)
    np.testing.assert_allclose(found, GOLDEN[f"{name}/uncertainty"], rtol=1e-5)


def test_without_evidence_everything_is_uncertain_and_all_classes_are_as_probable() -> None:
    @jax.jit
    def of(logits: jax.Array) -> tuple[jax.Array, ...]:
        nothing = evidence_of(logits, "relu")
        alphas = nothing + 1, nothing + 1 + jnp.eye(2, 5)
        return uncertainty(nothing), expected_probabilities(nothing), *map(divergence_from_uniform, alphas)

    unsure, probabilities, divergence, of_something = of(np.full((2, 5), -3, np.float32))
    np.testing.assert_array_equal(unsure, 1)
    np.testing.assert_allclose(probabilities, 0.2, rtol=1e-6)
    np.testing.assert_allclose(divergence, 0, atol=5e-6)  # roundings of gammaln
    assert (np.asarray(of_something) > 0.01).all()


def test_early_the_certain_mistakes_are_punished_and_late_the_uncertain_hits() -> None:
    sure, unsure, right, wrong = np.array([[[9, 0, 0]], [[0.1, 0, 0]], [[1, 0, 0]], [[0, 1, 0]]], np.float32)
    compiled = jax.jit(calibration_loss)

    def loss(evidence: np.ndarray, targets: np.ndarray, annealed: float) -> float:
        return float(compiled(evidence, targets, annealed)[0])

    assert loss(sure, wrong, 0.01) > 10 * loss(unsure, right, 0.01)
    assert loss(unsure, right, 1.0) > loss(sure, right, 1.0) > 0
    assert loss(sure, wrong, 1.0) == 0


@pytest.mark.fast_cases("options2")
@pytest.mark.parametrize("options", [{}, {"risk": "digamma", "kl": True}, {"risk": "mse"}])
def test_gradients_are_finite_whatever_the_logits(options: dict[str, Any]) -> None:
    losses = {evidence: evidential((), evidence=evidence, **options) for evidence in EVIDENCE_NAMES}

    @jax.jit
    def gradients(logits: jax.Array, progress: jax.Array) -> dict[str, jax.Array]:
        def total(logits: jax.Array, evidence: str) -> jax.Array:
            return losses[evidence](logits, jnp.eye(3), progress=progress).sum()

        return {evidence: jax.grad(total)(logits, evidence) for evidence in EVIDENCE_NAMES}

    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]], np.float32)
    for progress in (0.0, 1.0):
        for evidence, gradient in gradients(logits, np.float32(progress)).items():
            assert np.isfinite(gradient).all(), (evidence, progress)


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
