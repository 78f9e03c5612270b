"""RandAugment's colour operations on uint8 clips, each equal to Pillow's on every frame.

timm and SlowFast apply Pillow's `ImageOps` and `ImageEnhance` to one frame after another, with the same strength for
all frames of a clip. Statistics of the picture (the histogram of `autocontrast` and `equalize`, the mean of
`contrast`) are therefore taken per frame. The results equal Pillow's to the last bit, with one exception: OpenCV
rounds the grey level of about one pixel in a thousand the other way. There `color` differs by one level, and so does
`contrast` where the mean is close to a half.

No operation writes to the clip it is given.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8

Clip = UInt8[np.ndarray, "t h w 3"]

_LEVELS = np.arange(256)
# ImageFilter.SMOOTH.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
# Pillow drops the fraction of a blend, OpenCV rounds to nearest: adding this makes one of the other. A full half would
# send whole numbers, which a blend of equal pixels gives, to the next even number below.
_TRUNCATE = -0.499


def _rows(clip: Clip) -> UInt8[np.ndarray, "th w 3"]:
    """Stacks the frames of a clip into one tall picture, which takes one call of OpenCV instead of one per frame."""
    frames, height, width, _ = clip.shape
    return np.ascontiguousarray(clip).reshape(frames * height, width, 3)


def _apply_table(clip: Clip, table: np.ndarray) -> Clip:
    """Replaces every level by its entry in a table of 256 levels."""
    return cv2.LUT(_rows(clip), table.astype(np.uint8)).reshape(clip.shape)


def _apply_measured_tables(clip: Clip, measure: Callable[[UInt8[np.ndarray, "h w"]], np.ndarray]) -> Clip:
    """Replaces every level by its entry in the table that `measure` makes for the channel and the frame."""
    mapped = np.empty(clip.shape, np.uint8)
    for source, target in zip(np.ascontiguousarray(clip), mapped, strict=True):
        planes = [cv2.LUT(plane, measure(plane).astype(np.uint8)) for plane in cv2.split(source)]
        cv2.merge(planes, dst=target)
    return mapped


def _blend_table(start: int, factor: float) -> np.ndarray:
    """Returns the table of an `ImageEnhance` blend, from the level `start` (factor 0) to each level (1) and on."""
    # Pillow computes in single precision.
    blend = np.float32(start) + np.float32(factor) * (_LEVELS - start).astype(np.float32)
    return np.clip(blend, 0, 255).astype(np.uint8)


def autocontrast(clip: Clip) -> Clip:
    """Stretches every channel of every frame to the whole range, as `ImageOps.autocontrast`.

    Args:
      clip: the frames.

    Returns:
      A new clip. A channel of one level stays as it is.
    """
    return _apply_measured_tables(clip, _stretching_table)


def _stretching_table(plane: UInt8[np.ndarray, "h w"]) -> np.ndarray:
    """Returns the table that stretches a plane's darkest level to 0 and its brightest to 255."""
    low, high = int(plane.min()), int(plane.max())
    if low == high:
        return _LEVELS
    scale = 255.0 / (high - low)
    return np.clip(_LEVELS * scale + -low * scale, 0, 255)


def equalize(clip: Clip) -> Clip:
    """Flattens the histogram of every channel of every frame, as `ImageOps.equalize`.

    Args:
      clip: the frames.

    Returns:
      A new clip. A channel with fewer than 255 pixels of other levels than its brightest stays as it is.
    """
    return _apply_measured_tables(clip, _equalizing_table)


def _equalizing_table(plane: UInt8[np.ndarray, "h w"]) -> np.ndarray:
    """Returns the table that flattens the histogram of a plane."""
    histogram = cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    brightest = histogram[np.flatnonzero(histogram)[-1]]
    step = (histogram.sum() - brightest) // 255
    if step == 0:
        return _LEVELS
    darker = np.cumsum(histogram) - histogram
    return np.minimum((step // 2 + darker) // step, 255)


def invert(clip: Clip) -> Clip:
    """Inverts every level, as `ImageOps.invert`.

    Args:
      clip: the frames.

    Returns:
      A new clip.
    """
    return cv2.bitwise_not(_rows(clip)).reshape(clip.shape)


def posterize(clip: Clip, bits: int) -> Clip:
    """Keeps the highest bits of every level, as `ImageOps.posterize`.

    Args:
      clip: the frames.
      bits: how many of the 8 bits to keep. At 0 and below the clip is black, as in the versions of Pillow that the
        recipes were made with (today's refuses 0).

    Returns:
      A new clip.
    """
    return _apply_table(clip, _LEVELS & ~(2 ** (8 - min(max(bits, 0), 8)) - 1))


def solarize(clip: Clip, threshold: int) -> Clip:
    """Inverts the levels from a threshold on, as `ImageOps.solarize`.

    Args:
      clip: the frames.
      threshold: the least level that is inverted; from 256 on none is.

    Returns:
      A new clip.
    """
    return _apply_table(clip, np.where(threshold <= _LEVELS, 255 - _LEVELS, _LEVELS))


def solarize_add(clip: Clip, amount: int) -> Clip:
    """Brightens the darker half of the levels, as `solarize_add` in timm's auto_augment.py.

    Args:
      clip: the frames.
      amount: what is added to the levels below 128; at least 0.

    Returns:
      A new clip.
    """
    return _apply_table(clip, np.where(_LEVELS < 128, np.minimum(_LEVELS + amount, 255), _LEVELS))


def brightness(clip: Clip, factor: float) -> Clip:
    """Blends from black (factor 0) to the clip (1) and beyond, as `ImageEnhance.Brightness`.

    Args:
      clip: the frames.
      factor: the share of the clip; at least 0.

    Returns:
      A new clip.
    """
    return _apply_table(clip, _blend_table(0, factor))


def contrast(clip: Clip, factor: float) -> Clip:
    """Blends from each frame's mean grey (factor 0) to the frame (1) and beyond, as `ImageEnhance.Contrast`.

    Args:
      clip: the frames.
      factor: the share of the clip; at least 0.

    Returns:
      A new clip.
    """
    grey = cv2.cvtColor(_rows(clip), cv2.COLOR_RGB2GRAY).reshape(clip.shape[:3])
    means = [int(cv2.mean(frame)[0] + 0.5) for frame in grey]
    return np.concatenate([_apply_table(clip[i : i + 1], _blend_table(mean, factor)) for i, mean in enumerate(means)])


def color(clip: Clip, factor: float) -> Clip:
    """Blends from the grey clip (factor 0) to the clip (1) and beyond, as `ImageEnhance.Color`.

    Args:
      clip: the frames.
      factor: the share of the clip; at least 0.

    Returns:
      A new clip.
    """
    rows = _rows(clip)
    grey = cv2.cvtColor(cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(grey, 1 - factor, rows, factor, _TRUNCATE, dst=grey).reshape(clip.shape)


def sharpness(clip: Clip, factor: float) -> Clip:
    """Blends from the smoothed clip (factor 0) to the clip (1) and beyond, as `ImageEnhance.Sharpness`.

    Args:
      clip: the frames.
      factor: the share of the clip; at least 0.

    Returns:
      A new clip. The outermost pixels of the frames stay as they are, as Pillow does not smooth them.
    """
    rows = _rows(clip)
    smooth = cv2.filter2D(rows, -1, _SMOOTH)
    result = cv2.addWeighted(smooth, 1 - factor, rows, factor, _TRUNCATE, dst=smooth).reshape(clip.shape)
    # The rows beside these mixed neighbouring frames: with the tall picture no other pixel did.
    result[:, [0, -1]] = clip[:, [0, -1]]
    result[:, :, [0, -1]] = clip[:, :, [0, -1]]
    return result
