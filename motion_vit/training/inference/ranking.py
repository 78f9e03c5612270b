"""Ranks classes by their logits."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float

from motion_vit.training.losses.evidence import EvidenceName, evidence_of, expected_probabilities


def finite_rows(logits: Float[np.ndarray, "*batch classes"]) -> Bool[np.ndarray, " *batch"]:
    """Tells of each example whether all its logits are finite numbers.

    Args:
      logits: one row an example.
    """
    return np.asarray(np.isfinite(logits).all(axis=-1))


def class_probabilities(
    logits: Float[np.ndarray, " classes"], evidence: EvidenceName | None = None
) -> Float[np.ndarray, " classes"] | None:
    """Makes probabilities of logits, by the softmax or, of evidence, as the mean of its distribution.

    Args:
      logits: of one clip, video or window.
      evidence: what makes evidence of them, see `motion_vit.training.recipe.evidence`; None for the softmax.

    Returns:
      The probability of each class; None where logits are NaN or infinite.
    """
    if not finite_rows(logits):
        return None
    given = jax.device_put(logits)
    found = jax.nn.softmax(given) if evidence is None else expected_probabilities(evidence_of(given, evidence))
    probabilities: np.ndarray = jax.device_get(found)
    return probabilities


def ranked_classes(
    logits: Float[np.ndarray, " classes"], label_names: Sequence[str], top: int, evidence: EvidenceName | None = None
) -> tuple[tuple[str, float], ...]:
    """Ranks classes by their probability.

    Args:
      logits: of one clip or video.
      label_names: name of each class.
      top: how many classes to name.
      evidence: see `class_probabilities`.

    Returns:
      Names and probabilities, the most probable first; () where logits are NaN or infinite.
    """
    probabilities = class_probabilities(logits, evidence)
    if probabilities is None:
        return ()
    # Logits, too, because evidence of the largest ones is the same.
    ranking = np.lexsort((-logits, -probabilities))[:top]
    return tuple((label_names[number], float(probabilities[number])) for number in ranking)
