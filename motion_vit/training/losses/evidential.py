"""Evidential loss (Bao et al. 2021, arXiv 2107.10161): trains a model to know what it does not know.

The authors' code is `mmaction/models/losses/edl_loss.py` of github.com/Cogito2012/DEAR. It anneals by whole epochs,
which here is the exact share of the steps.
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, get_args

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Float

from motion_vit.ranges import Choice, Flag, Number, check
from motion_vit.training.losses.evidence import EVIDENCE_NAMES, EvidenceName, evidence_of, expected_probabilities

RiskName = Literal["log", "digamma", "mse", "cross_entropy"]
"""How evidence is compared with the target, see `evidential`."""

EVIDENCE = Choice(EVIDENCE_NAMES)
"""What makes evidence of logits."""

RISK = Choice(get_args(RiskName))
"""How evidence is compared with the target."""

ANNEALING_START = Number(0, 1, above=True)
"""The weight that rises to 1 over training, at its start."""

# Keeps logarithms finite, as in the authors' code.
_LEAST = 1e-10

Classes = Float[Array, "b classes"]


def evidential(
    clips_of_class: Sequence[int],
    /,
    *,
    evidence: Annotated[EvidenceName, EVIDENCE] = "exp",
    risk: Annotated[RiskName, RISK] = "log",
    calibration: Annotated[bool, Flag()] = True,
    annealing_start: Annotated[float, ANNEALING_START] = 0.01,
    kl: Annotated[bool, Flag()] = False,
) -> Callable[..., Float[Array, " b"]]:
    """Makes the evidential loss.

    `alpha` is the evidence and 1, `S` its sum, `p = alpha / S`, and `lambda = annealing_start ** (1 - progress)` rises
    from `annealing_start` to 1 over training.

    Args:
      clips_of_class: not used.
      evidence: what makes evidence of logits, see `motion_vit.training.losses.evidence`.
      risk: "log" is `sum_c target_c (log S - log alpha_c)`, the paper's choice; "digamma" has the digamma function for
        the logarithm. "mse" is `sum_c (target_c - p_c)^2` and the variance of the distribution; "cross_entropy", of
        the authors' code alone, is that variance added to "log".
      calibration: adds `calibration_loss` (the paper's EUC). It asks whether a clip is classified right, so targets
        must be labels, neither smoothed nor mixed.
      annealing_start: `lambda` before the first step.
      kl: adds `lambda` times the divergence from no evidence of what the evidence says beside the target (Sensoy et al.
        2018); off in DEAR.

    Returns:
      A function from logits, targets and the keyword `progress`, the share of training that is done, to the loss of
      each clip.

    Raises:
      ValueError: an option is not in its range.
    """
    check("evidence", evidence, EVIDENCE)
    check("risk", risk, RISK)
    check("calibration", calibration, Flag())
    check("annealing_start", annealing_start, ANNEALING_START)
    check("kl", kl, Flag())

    def loss(logits: Classes, targets: Classes, *, progress: Float[Array, ""]) -> Float[Array, " b"]:
        found = evidence_of(logits, evidence)
        annealed = annealing_start ** (1 - progress)
        losses = _risk_of(found, targets, risk)
        if kl:
            losses += annealed * divergence_from_uniform(found * (1 - targets) + 1)
        if calibration:
            losses += calibration_loss(found, targets, annealed)
        return losses

    return loss


def _risk_of(evidence: Classes, targets: Classes, risk: RiskName) -> Float[Array, " b"]:
    """Compares evidence with the target; see `evidential`."""
    alpha = evidence + 1
    strength = jnp.sum(alpha, axis=-1, keepdims=True)
    if risk == "digamma":
        return jnp.sum(targets * (digamma(strength) - digamma(alpha)), axis=-1)
    logarithmic = jnp.sum(targets * (jnp.log(strength) - jnp.log(alpha)), axis=-1)
    if risk == "log":
        return logarithmic
    variance = jnp.sum(alpha * (strength - alpha) / (jnp.square(strength) * (strength + 1)), axis=-1)
    if risk == "cross_entropy":
        return logarithmic + variance
    return jnp.sum(jnp.square(targets - alpha / strength), axis=-1) + variance


def divergence_from_uniform(alpha: Classes) -> Float[Array, " b"]:
    """Computes the Kullback-Leibler divergence of a Dirichlet distribution from the one without evidence.

    Args:
      alpha: the concentration, from 1 on.

    Returns:
      From 0 on; 0 where every concentration is 1.
    """
    strength, classes = jnp.sum(alpha, axis=-1, keepdims=True), alpha.shape[-1]
    expected = jnp.sum((alpha - 1) * (digamma(alpha) - digamma(strength)), axis=-1)
    return expected + gammaln(strength[:, 0]) - jnp.sum(gammaln(alpha), axis=-1) - math.lgamma(classes)


def calibration_loss(evidence: Classes, targets: Classes, annealed: Float[Array, ""] | float) -> Float[Array, " b"]:
    """Computes the paper's evidential uncertainty calibration (EUC).

    Early in training it punishes clips that are classified wrong with certainty, later those that are classified right
    without. `u` is the uncertainty, `q` the largest probability.

    Args:
      evidence: for each class.
      targets: labels, neither smoothed nor mixed: the largest is the label.
      annealed: `lambda`, from above 0 to 1.

    Returns:
      `-lambda q log(1 - u)` of a clip that is classified right, `-(1 - lambda) (1 - q) log(u)` of another.
    """
    strength = jnp.sum(evidence + 1, axis=-1)
    largest = jnp.max(expected_probabilities(evidence), axis=-1)
    # Not 1 - u, which rounds to 0 where there is little evidence.
    certainty, uncertain = jnp.sum(evidence, axis=-1) / strength, evidence.shape[-1] / strength
    unsure = -largest * jnp.log(certainty + _LEAST)
    sure = -(1 - largest) * jnp.log(uncertain + _LEAST)
    right = jnp.argmax(evidence, axis=-1) == jnp.argmax(targets, axis=-1)
    return jnp.where(right, annealed * unsure, (1 - annealed) * sure)
