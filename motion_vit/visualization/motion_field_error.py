"""How far a field of displacements is from the truth.

The measures of the Middlebury benchmark of optical flow: Baker et al., "A database and evaluation methodology for
optical flow" (IJCV 2011), section 4.1. All are of single displacements `(x, y)`, so that a caller can average over the
places that count.
"""

import numpy as np
from jaxtyping import Float

Flow = Float[np.ndarray, "*shape 2"]
Errors = Float[np.ndarray, "*shape"]


def endpoint_error(flow: Flow, truth: Flow) -> Errors:
    """The distance of the two ends, in the unit of the displacements.

    Args:
      flow: displacements.
      truth: what they should be.

    Returns:
      Errors, 0 or more.
    """
    return np.linalg.norm(np.asarray(flow, np.float64) - truth, axis=-1)


def angular_error(flow: Flow, truth: Flow) -> Errors:
    """The angle between the displacements in space and time, `(x, y, 1)`, as Middlebury defines it.

    The time of one between the frames tempers the error of small displacements, whose direction says little; it makes
    the angle depend on the unit, which is pixels.

    Args:
      flow: displacements in pixels.
      truth: what they should be.

    Returns:
      Degrees, from 0 to 180.
    """
    found, true = (np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1) for x in (flow, truth))
    return _angle(found, true)


def direction_error(flow: Flow, truth: Flow) -> Errors:
    """The angle between the directions of the displacements.

    Args:
      flow: displacements.
      truth: what they should be.

    Returns:
      Degrees, from 0 to 180; NaN where one of them has no length.
    """
    return _angle(np.asarray(flow, np.float64), np.asarray(truth, np.float64))


def _angle(first: Float[np.ndarray, "*shape d"], second: Float[np.ndarray, "*shape d"]) -> Errors:
    product = np.sum(first * second, axis=-1)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    cosine = np.divide(product, lengths, out=np.full_like(lengths, np.nan), where=lengths > 0)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
