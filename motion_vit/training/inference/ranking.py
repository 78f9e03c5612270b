"""Ranks classes by their logits."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float


def finite_rows(logits: Float[np.ndarray, "*batch classes"]) -> Bool[np.ndarray, " *batch"]:
    """Tells of each example whether all its logits are finite numbers.

    Args:
      logits: one row an example.
    """
    return np.asarray(np.isfinite(logits).all(axis=-1))


def class_probabilities(logits: Float[np.ndarray, " classes"]) -> Float[np.ndarray, " classes"] | None:
    """Makes probabilities of logits, by the softmax.

    Args:
      logits: of one clip, video or window.

    Returns:
      The probability of each class; None where logits are NaN or infinite.
    """
    if not finite_rows(logits):
        return None
    probabilities: np.ndarray = jax.device_get(jax.nn.softmax(jax.device_put(logits)))
    return probabilities


def ranked_classes(
    logits: Float[np.ndarray, " classes"], label_names: Sequence[str], top: int
) -> tuple[tuple[str, float], ...]:
    """Ranks classes by their probability.

    Args:
      logits: of one clip or video.
      label_names: name of each class.
      top: how many classes to name.

    Returns:
      Names and probabilities, the most probable first; () where logits are NaN or infinite.
    """
    probabilities = class_probabilities(logits)
    if probabilities is None:
        return ()
    ranking = np.argsort(-probabilities, kind="stable")[:top]
    return tuple((label_names[number], float(probabilities[number])) for number in ranking)
