"""Low contrast, as of mist or a dirty lens."""

import numpy as np
from jaxtyping import UInt8

Clip = UInt8[np.ndarray, "t h w 3"]

_FACTORS = (0.4, 0.3, 0.2, 0.1, 0.05)


def contrast(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Moves every level towards the mean of its colour in its frame.

    The factors are those of ImageNet-C (Hendrycks and Dietterich, ICLR 2019, arXiv 1903.12261).

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: unused; nothing is drawn.

    Returns:
      A new clip.
    """
    del rng
    return lower_contrast(clip, _FACTORS[severity - 1])


def lower_contrast(clip: Clip, factor: float) -> Clip:
    """Moves every level towards the mean of its colour in its frame.

    Args:
      clip: the frames.
      factor: what is left of the distance to the mean, from 0 to 1.

    Returns:
      A new clip.
    """
    means = clip.mean(axis=(1, 2), keepdims=True)
    return np.rint(means + factor * (clip - means)).astype(np.uint8)
