"""Errors of displacement fields against the truth.

The measures of the Middlebury benchmark of optical flow: Baker et al., "A database and evaluation methodology for
optical flow" (IJCV 2011), section 4.1. All are of single displacements `(x, y)`, so that callers choose what to average
over.
"""

import numpy as np
from jaxtyping import Float

Flow = Float[np.ndarray, "*shape 2"]
Errors = Float[np.ndarray, "*shape"]


def endpoint_error(flow: Flow, truth: Flow) -> Errors:
    """Measures the distance of the end points, in the unit of the displacements.

    Args:
      flow: displacements.
      truth: correct displacements.

    Returns:
      Errors, 0 or more.
    """
    return np.linalg.norm(np.asarray(flow, np.float64) - truth, axis=-1)


def angular_error(flow: Flow, truth: Flow) -> Errors:
    """Measures the angle between the displacements in space and time, `(x, y, 1)`, as Middlebury defines it.

    The time of one between the frames reduces the error of small displacements, whose direction says little. It makes
    the angle depend on the unit, which is pixels.

    Args:
      flow: displacements in pixels.
      truth: correct displacements.

    Returns:
      Degrees, from 0 to 180.
    """
    found, true = (np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1) for x in (flow, truth))
    return _angle(found, true)


def direction_error(flow: Flow, truth: Flow) -> Errors:
    """Measures the angle between the directions of the displacements.

    Args:
      flow: displacements.
      truth: correct displacements.

    Returns:
      Degrees, from 0 to 180; NaN if one of them has no length.
    """
    return _angle(np.asarray(flow, np.float64), np.asarray(truth, np.float64))


def _angle(first: Float[np.ndarray, "*shape d"], second: Float[np.ndarray, "*shape d"]) -> Errors:
    product = np.sum(first * second, axis=-1)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    cosine = np.divide(product, lengths, out=np.full_like(lengths, np.nan), where=lengths > 0)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
