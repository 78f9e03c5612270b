"""The geometric operations of RandAugment on uint8 clips: shear, translation and rotation, the same in every frame.

The matrices and the fill are those of timm's auto_augment.py on Pillow: an output pixel whose centre falls outside the
frame is grey (128), any other is interpolated bicubically, with the frame continued by its outermost pixels.

A shear or a translation moves whole rows or columns, so that every row is one small filter, applied to all frames at a
time. That is three to seven times faster than OpenCV's bicubic warp. Its weights are Pillow's, and the results seldom
differ from Pillow's, by one level at most. Rotation is OpenCV's warp. Its cubic is a little softer than Pillow's
(a = -0.75 for -1). It rounds positions to 1/32 pixel and levels to the nearest, where Pillow drops the fraction, and
it mixes grey into the one or two pixels along the frame's border.

No operation writes to the clip it is given.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Clip = UInt8[np.ndarray, "t h w 3"]

_FILL = 128
# Pillow drops the fraction of an interpolated level, OpenCV rounds to nearest: adding this makes one of the other. A
# full half would send whole numbers, which equal pixels give, to the next even number below.
_TRUNCATE = -0.499


def _cubic_weights(fractions: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Returns Pillow's cubic weights (a = -1) of pixels -1, 0, 1 and 2 for positions between pixels 0 and 1."""
    distance = np.abs(np.arange(-1, 3) - fractions[:, None])
    near = (distance - 2) * distance**2 + 1
    far = ((5 - distance) * distance - 8) * distance + 4
    return np.where(distance < 1, near, far).astype(np.float32)


def _shift_rows(clip: Clip, shifts: Float[np.ndarray, " h"]) -> Clip:
    """Takes pixel x of row y in every frame from position `x + shifts[y]` of the row."""
    frames, height, width, _ = clip.shape
    rows = np.ascontiguousarray(clip).reshape(frames * height, width, 3)
    # A position in the left half of pixel 0 lies between the pixels -1 and 0: with this one more, that one is there.
    padded = cv2.copyMakeBorder(rows, 0, 0, 1, 0, cv2.BORDER_REPLICATE).reshape(frames, height, width + 1, 3)
    shifted = np.full(clip.shape, _FILL, np.uint8)
    whole = np.floor(shifts).astype(int)
    weights = _cubic_weights(shifts - whole)
    # The pixels whose centre, half a pixel right of their position, falls inside the frame.
    starts = np.maximum(0, np.ceil(-0.5 - shifts).astype(int))
    stops = np.minimum(width, np.ceil(width - 0.5 - shifts).astype(int))
    for y in np.flatnonzero(starts < stops):
        filtered = cv2.filter2D(
            padded[:, y], -1, weights[y : y + 1], anchor=(1, 0), delta=_TRUNCATE, borderType=cv2.BORDER_REPLICATE
        )
        first, last = starts[y] + whole[y] + 1, stops[y] + whole[y] + 1
        shifted[:, y, starts[y] : stops[y]] = filtered[:, first:last]
    return shifted


def _transpose(clip: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t w h 3"]:
    """Mirrors every frame at its diagonal."""
    frames, height, width, _ = clip.shape
    transposed = np.empty((frames, width, height, 3), np.uint8)
    for source, target in zip(clip, transposed, strict=True):
        cv2.transpose(np.ascontiguousarray(source), dst=target)
    return transposed


def shear_x(clip: Clip, factor: float) -> Clip:
    """Shears every frame along its rows.

    Args:
      clip: the frames.
      factor: pixels that a row's content moves left for every row that it lies lower.

    Returns:
      A new clip.
    """
    return _shift_rows(clip, factor * (np.arange(clip.shape[1]) + 0.5))


def shear_y(clip: Clip, factor: float) -> Clip:
    """Shears every frame along its columns.

    Args:
      clip: the frames.
      factor: pixels that a column's content moves up for every column that it lies further right.

    Returns:
      A new clip.
    """
    return _transpose(shear_x(_transpose(clip), factor))


def translate_x(clip: Clip, share: float) -> Clip:
    """Moves the content of every frame left.

    Args:
      clip: the frames.
      share: of the width; negative values move it right.

    Returns:
      A new clip.
    """
    frames, height, width, _ = clip.shape
    # All rows move alike, so that the whole clip is one row of a tall stack.
    stack = np.ascontiguousarray(clip).reshape(frames * height, 1, width, 3)
    return _shift_rows(stack, np.array([share * width])).reshape(clip.shape)


def translate_y(clip: Clip, share: float) -> Clip:
    """Moves the content of every frame up.

    Args:
      clip: the frames.
      share: of the height; negative values move it down.

    Returns:
      A new clip.
    """
    return _transpose(translate_x(_transpose(clip), share))


def rotate(clip: Clip, degrees: float) -> Clip:
    """Turns the content of every frame counterclockwise around the frame's centre.

    Args:
      clip: the frames.
      degrees: counterclockwise; negative values turn it clockwise.

    Returns:
      A new clip.
    """
    height, width = clip.shape[1:3]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = np.empty(clip.shape, np.uint8)
    for source, target in zip(clip, turned, strict=True):
        cv2.warpAffine(
            np.ascontiguousarray(source),
            matrix,
            (width, height),
            dst=target,
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(_FILL,) * 3,
        )
    return turned
