"""Measures whether probabilities can be taken at their word."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

BINS = 15
"""Intervals of confidence of equal width, as in Guo et al., *On calibration of modern neural networks*, 2017."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence and accuracy of videos that a model is about equally sure of.

    Attributes:
      edges: limits of the intervals of confidence.
      counts: videos in each interval.
      confidence: their mean confidence; NaN in an empty interval.
      accuracy: the share of them that is right; NaN in an empty interval.
    """

    edges: Float[np.ndarray, " bins+1"]
    counts: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between confidence and accuracy, over videos; NaN of none."""
        if not self.counts.sum():
            return float("nan")
        gaps = np.abs(np.where(self.counts > 0, self.confidence - self.accuracy, 0.0))
        return float((gaps * self.counts).sum() / self.counts.sum())


def reliability(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], bins: int = BINS) -> Reliability:
    """Sorts videos into intervals of confidence.

    Args:
      confidence: the probability of the predicted class; videos of which it is NaN are left out.
      right: whether that class is the true one.
      bins: number of intervals. A confidence on a limit belongs to the lower one, as in Guo et al.

    Returns:
      What is in each interval.
    """
    known = ~np.isnan(confidence)
    confidence, right = confidence[known].astype(np.float64), right[known]
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    held = np.where(counts > 0, counts, np.nan)
    return Reliability(
        edges,
        counts,
        np.bincount(places, weights=confidence, minlength=bins) / held,
        np.bincount(places, weights=right, minlength=bins) / held,
    )
