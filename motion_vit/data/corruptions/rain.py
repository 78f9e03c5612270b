"""Rain: bright streaks in one direction, elsewhere in each frame, before a scene of less contrast.

Numbers and lengths of drops and the loss of contrast are those of Yi et al. (NeurIPS 2021, arXiv 2110.06513; `rain` of
Newbeeyoung/Video-Corruption-Robustness) for frames of 224 x 224 pixels. Their code draws another direction for each
frame; rain of one clip falls in one direction here.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

from motion_vit.data.corruptions.contrast import lower_contrast
from motion_vit.data.corruptions.frame_scale import frame_scale

Clip = UInt8[np.ndarray, "t h w 3"]

_PIXELS_A_DROP = (770, 770, 770, 500, 400)
_LENGTHS = (10.0, 30.0, 60.0, 60.0, 80.0)
_CONTRASTS = (0.8, 0.8, 0.7, 0.6, 0.5)
_SLANT = 10.0
"""Pixels to either side that a drop moves at most while it falls by its length."""
_LEVEL = 220.0
_OPACITY = 0.8
# OpenCV draws to fractions of pixels: places are given in sixteenths.
_FRACTION_BITS = 4


def rain(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Lets rain fall through a clip.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: source of the direction, and of the drops of each frame.

    Returns:
      A new clip.
    """
    scale, (height, width) = frame_scale(clip), clip.shape[1:3]
    thickness = max(1, round(scale))
    fall = np.array([_SLANT * rng.uniform(-1, 1), _LENGTHS[severity - 1]]) * scale
    # Streaks cannot be thinner than a pixel: of small frames there are fewer, which cover the same share.
    drops = max(1, round(height * width / (_PIXELS_A_DROP[severity - 1] * scale * thickness)))
    rainy = np.empty(clip.shape, np.uint8)
    for source, target in zip(lower_contrast(clip, _CONTRASTS[severity - 1]), rainy, strict=True):
        # From above the frame and beside it, too, so that its edges are as wet as its middle.
        starts = rng.uniform(-abs(fall), (width, height) + abs(fall) * (1, 0), (drops, 2))
        lines = np.rint(np.stack([starts, starts + fall], axis=1) * 2**_FRACTION_BITS).astype(np.int32)
        streaks = np.zeros((height, width), np.uint8)
        cv2.polylines(streaks, list(lines), False, 255, thickness, cv2.LINE_AA, _FRACTION_BITS)
        opacity = (_OPACITY / 255) * streaks[..., None].astype(np.float32)
        target[...] = np.rint(source + opacity * (np.maximum(source, _LEVEL) - source))
    return rainy
