"""Measures how well a score separates unknown videos from known ones, and how well a model knows both.

The first is free of a threshold: unknown videos should have larger scores. The second is the open-set macro F1 of
Bao et al. (arXiv 2107.10161). The areas under curves that its authors published are those of decisions at a threshold
(`compare_openness.py` of github.com/Cogito2012/DEAR), those here are of scores: they cannot be compared.
"""

import math

import numpy as np
from jaxtyping import Float, Int

Scores = Float[np.ndarray, " n"]

_PER_CENT = 95


def auroc(known: Scores, unknown: Float[np.ndarray, " m"]) -> float:
    """Computes the area under the curve of true over false alarms.

    Args:
      known: scores of known videos, at least one.
      unknown: scores of unknown videos, at least one.

    Returns:
      The probability that an unknown video has a larger score than a known one; a tie counts half. 0.5 is chance.
    """
    ordered = np.sort(known)
    below, not_above = (np.searchsorted(ordered, unknown, side=side) for side in ("left", "right"))
    return float(np.mean(below + not_above) / (2 * len(known)))


def average_precision(known: Scores, unknown: Float[np.ndarray, " m"]) -> float:
    """Computes the area under the curve of precision over recall (AUPR), unknown videos being what is to be found.

    Args:
      known: as of `auroc`.
      unknown: likewise.

    Returns:
      The mean precision over the thresholds at which recall rises, as scikit-learn's `average_precision_score`.
      The share of unknown videos is chance.
    """
    thresholds = np.unique(unknown)[::-1]
    found, alarms = _reaching(unknown, thresholds), _reaching(known, thresholds)
    rises = np.diff(found, prepend=0) / len(unknown)
    return float(np.sum(rises * found / (found + alarms)))


def false_alarms_at_95(known: Scores, unknown: Float[np.ndarray, " m"]) -> float:
    """Computes the share of known videos that are called unknown where 95 % of the unknown are found (FPR95).

    Args:
      known: as of `auroc`.
      unknown: likewise.

    Returns:
      From 0 to 1, at the largest threshold at which at least 95 % are found.
    """
    threshold = np.sort(unknown)[::-1][_per_cent_of(len(unknown)) - 1]
    return float(np.mean(known >= threshold))


def rejection_threshold(known: Scores) -> float:
    """Chooses the smallest score of known videos that at most 5 % of them exceed.

    Args:
      known: scores of known videos, at least one; of those that were trained on, as in the paper, or of others.
    """
    return float(np.sort(known)[_per_cent_of(len(known)) - 1])


def openness(known_classes: int, unknown_classes: Int[np.ndarray, " n"] | int) -> Float[np.ndarray, " n"]:
    """Computes the openness `1 - sqrt(2 K / (2 K + i))`.

    Args:
      known_classes: `K`.
      unknown_classes: `i`, one or several.

    Returns:
      From 0, where there are no unknown classes, to below 1.
    """
    known = 2.0 * known_classes
    return 1 - np.sqrt(known / (known + np.asarray(unknown_classes, np.float64)))


def open_macro_f1(
    known_labels: Int[np.ndarray, " n"],
    known_answers: Int[np.ndarray, " n"],
    unknown_labels: Int[np.ndarray, " m"],
    unknown_answers: Int[np.ndarray, " m"],
    *,
    known_classes: int,
    orders: Int[np.ndarray, "draws unknown_classes"],
) -> Float[np.ndarray, "draws unknown_classes+1"]:
    """Computes the macro F1 over the known classes and one more, "unknown", for more and more unknown classes.

    As in scikit-learn's `f1_score(average="macro")`, classes that are neither a label nor an answer are left out.

    Args:
      known_labels: true classes of the known videos.
      known_answers: the class that each is given; `known_classes` for "unknown".
      unknown_labels: classes of the unknown videos, numbered from 0 on by themselves.
      unknown_answers: as `known_answers`.
      known_classes: their number.
      orders: numbers of unknown classes, in some orders.

    Returns:
      Of each order, the F1 where its first 0, 1, 2, ... unknown classes are there.
    """
    size = known_classes + 1
    right = np.bincount(known_labels[known_labels == known_answers], minlength=size)
    # Labels and answers of each class, added up.
    named = np.bincount(known_labels, minlength=size) + np.bincount(known_answers, minlength=size)
    answers = np.zeros((orders.shape[1], size), np.int64)
    np.add.at(answers, (unknown_labels, unknown_answers), 1)
    f1 = np.empty((len(orders), orders.shape[1] + 1))
    for number, order in enumerate(orders):
        given = np.concatenate([np.zeros((1, size), np.int64), np.cumsum(answers[order], axis=0)])
        hits, sums = np.tile(right, (len(given), 1)), named + given
        hits[:, -1] += given[:, -1]
        sums[:, -1] += given.sum(axis=1)
        f1[number] = np.sum(2 * hits / np.maximum(sums, 1), axis=1) / np.count_nonzero(sums, axis=1)
    return f1


def weighted_by_openness(f1: Float[np.ndarray, " n"], of: Float[np.ndarray, " n"]) -> float:
    """Averages the macro F1, weighed by openness.

    Args:
      f1: for each number of unknown classes.
      of: the openness of each, of which one is above 0.
    """
    return float(np.sum(f1 * of) / np.sum(of))


def _reaching(scores: Scores, thresholds: Float[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
    """Counts the scores that are at least each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def _per_cent_of(count: int) -> int:
    """Returns the least whole number of videos that is 95 % of them or more."""
    return math.ceil(_PER_CENT * count / 100)
