"""Classifies features by the nearest of those whose classes are known."""

import numpy as np
from jaxtyping import Float, Int

NEIGHBORS = 20
TEMPERATURE = 0.07
"""Number of neighbours and temperature of their votes, as in Wu et al. (2018) and since then."""

# Rows of similarities that are in memory at once.
_ROWS = 1024


def neighbor_votes(
    known: Float[np.ndarray, "m c"],
    labels: Int[np.ndarray, " m"],
    features: Float[np.ndarray, "n c"],
    *,
    classes: int,
    neighbors: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
) -> Float[np.ndarray, "n classes"]:
    """Lets the nearest neighbours of each feature vote on its class.

    Similarity is the cosine. A neighbour of similarity `s` gives `exp(s / temperature)` votes to its class (Wu et al.,
    Unsupervised feature learning via non-parametric instance discrimination, 2018, equation 9).

    Args:
      known: features whose classes are known.
      labels: these classes.
      features: to classify.
      classes: number of classes.
      neighbors: how many vote, at most all.
      temperature: the smaller, the more the nearest one decides.

    Returns:
      The share of the votes that each class gets; rows sum to 1.
    """
    directions, asked = _directions(known), _directions(features)
    count = min(neighbors, len(known))
    votes = np.zeros((len(features), classes), np.float64)
    for start in range(0, len(features), _ROWS):
        similar = asked[start : start + _ROWS] @ directions.T
        nearest = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        nearness = np.take_along_axis(similar, nearest, axis=1)
        # Relative to the nearest one: with a small temperature the exponential would overflow.
        weights = np.exp((nearness - nearness.max(axis=1, keepdims=True)) / temperature)
        rows = start + np.arange(len(nearest))[:, None]
        np.add.at(votes, (np.broadcast_to(rows, nearest.shape), labels[nearest]), weights)
    return votes / votes.sum(axis=1, keepdims=True)


def _directions(features: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Scales features to length 1; those that are 0 stay so."""
    exact = features.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.asarray(exact / np.where(lengths > 0, lengths, 1.0))
