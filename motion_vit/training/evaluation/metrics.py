"""Computes accuracies from logits and labels on the host.

An example whose logits contain NaN or infinity gets no class, and so is never right: comparisons with NaN are false,
and `argmax` takes NaN for the largest.
"""

import numpy as np
from jaxtyping import Float, Int

from motion_vit.training.inference.ranking import finite_rows

NO_CLASS = -1
"""What `predicted_classes` gives where logits are not finite."""


def predicted_classes(logits: Float[np.ndarray, "*batch classes"]) -> Int[np.ndarray, " *batch"]:
    """Returns the class of the largest logit of each example, the lowest class among equal ones.

    Args:
      logits: one row per example.

    Returns:
      Classes; `NO_CLASS` where logits are not finite.
    """
    return np.where(finite_rows(logits), np.argmax(logits, axis=-1), NO_CLASS)


def top_k_accuracy(logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], k: int) -> float:
    """Returns the share of examples whose label is among the `k` largest logits.

    Args:
      logits: one row per example.
      labels: class of each example.
      k: number of classes that count; any number above the classes counts all.

    Returns:
      From 0 to 1; NaN without examples. Examples whose logits are not finite count as wrong.
    """
    if len(labels) == 0:
        return float("nan")
    own = np.take_along_axis(logits, labels[:, None].astype(np.intp), axis=1)
    # Of equal logits the lower class goes first, as argmax does, so that constant logits are not right on every label.
    classes = np.arange(logits.shape[1])
    before = (logits > own) | ((logits == own) & (classes[None, :] < labels[:, None]))
    return float(np.mean(finite_rows(logits) & (before.sum(axis=1) < k)))


def confusion_matrix(
    labels: Int[np.ndarray, " n"], predictions: Int[np.ndarray, " n"], num_classes: int
) -> Int[np.ndarray, "classes columns"]:
    """Counts examples by true class (row) and predicted class (column; the last column is for no class).

    Args:
      labels: true classes.
      predictions: of `predicted_classes`.
      num_classes: number of classes.

    Returns:
      Counts.
    """
    counts = np.zeros((num_classes, num_classes + 1), np.int64)  # `NO_CLASS` is the index of the last column
    np.add.at(counts, (labels, predictions), 1)
    return counts


def per_class_accuracy(confusion: Int[np.ndarray, "classes columns"]) -> Float[np.ndarray, " classes"]:
    """Returns the share of each class's examples that were predicted as that class.

    Args:
      confusion: counts of `confusion_matrix`.

    Returns:
      From 0 to 1; NaN for a class without examples.
    """
    totals = confusion.sum(axis=1)
    return np.where(totals > 0, np.diagonal(confusion) / np.maximum(totals, 1), np.nan)
