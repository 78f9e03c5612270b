"""Scales lengths in pixels to the size of the frames, so that a corruption looks alike at every size."""

import numpy as np
from jaxtyping import UInt8

_PUBLISHED_SIDE = 224
"""Pixels of the shorter side of the pictures that the published lengths are of."""


def frame_scale(clip: UInt8[np.ndarray, "t h w 3"]) -> float:
    """Returns what published lengths in pixels are multiplied with: the shorter side over 224."""
    return min(clip.shape[1:3]) / _PUBLISHED_SIDE
