"""Blur of optics and of a moving camera: one draw for all frames of a clip.

Radii, deviations and factors are those of ImageNet-C (Hendrycks and Dietterich, ICLR 2019, arXiv 1903.12261;
`make_imagenet_c.py` of hendrycks/robustness), for pictures whose shorter side has 224 pixels. They grow and shrink with
the frames. Kernels are made here: ImageNet-C smooths the rim of its disk by a Gaussian, and leaves motion to
ImageMagick.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from motion_vit.data.corruptions.frame_scale import frame_scale

Clip = UInt8[np.ndarray, "t h w 3"]
Kernel = Float[np.ndarray, "rows columns"]

_RADII = (3.0, 4.0, 6.0, 8.0, 10.0)
_STREAKS = ((10.0, 3.0), (15.0, 5.0), (15.0, 8.0), (15.0, 12.0), (20.0, 15.0))
"""Radius, which is half of the longest way, and standard deviation."""
_STEEPEST = 45.0
"""Degrees from the horizontal."""
_ZOOMS = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
"""The end, which is left out, and the step of factors from 1."""

_DISK_POINTS = 8
"""Points along the side of a pixel, by which a disk's share of it is measured."""
_STREAK_POINTS = 4
"""Points a pixel along a streak."""


def defocus_blur(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Averages over a disk, as a lens out of focus.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: unused; nothing is drawn.

    Returns:
      A new clip.
    """
    del rng
    return _filtered(clip, _disk(_RADII[severity - 1] * frame_scale(clip)))


def motion_blur(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Averages along a line in a direction of the whole clip, with weights that fall off as half a Gaussian.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: source of the direction, up to 45 degrees from the horizontal.

    Returns:
      A new clip.
    """
    radius, deviation = (length * frame_scale(clip) for length in _STREAKS[severity - 1])
    angle = math.radians(rng.uniform(-_STEEPEST, _STEEPEST))
    return _filtered(clip, _streak(2 * radius, deviation, angle))


def zoom_blur(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Averages over enlargements about the centre, as of a zoom while the shutter is open.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: unused; nothing is drawn.

    Returns:
      A new clip.
    """
    del rng
    height, width = clip.shape[1:3]
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrices = [cv2.getRotationMatrix2D(centre, 0, factor) for factor in np.arange(1, *_ZOOMS[severity - 1])]
    blurred = np.empty(clip.shape, np.uint8)
    for source, target in zip(clip, blurred, strict=True):
        picture = source.astype(np.float32)
        enlarged = [
            cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE) for matrix in matrices
        ]
        # ImageNet-C counts the picture itself once more.
        target[...] = np.rint((picture + sum(enlarged)) / (len(enlarged) + 1))
    return blurred


def _filtered(clip: Clip, kernel: Kernel) -> Clip:
    blurred = np.empty(clip.shape, np.uint8)
    for source, target in zip(np.ascontiguousarray(clip), blurred, strict=True):
        cv2.filter2D(source, -1, kernel, dst=target, borderType=cv2.BORDER_REFLECT_101)
    return blurred


def _disk(radius: float) -> Kernel:
    """Makes the weights of a disk, of which pixels at its rim count by the share that it covers."""
    reach = math.ceil(radius)
    places = (np.arange((2 * reach + 1) * _DISK_POINTS) + 0.5) / _DISK_POINTS - reach - 0.5
    inside = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float32)
    side = 2 * reach + 1
    shares = inside.reshape(side, _DISK_POINTS, side, _DISK_POINTS).mean(axis=(1, 3))
    return shares / shares.sum()


def _streak(length: float, deviation: float, angle: float) -> Kernel:
    """Makes the weights of a line from the centre, each of its points shared by the four pixels around it."""
    reach = math.ceil(length) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    along = np.arange(0, length + 1 / _STREAK_POINTS, 1 / _STREAK_POINTS)
    weights = np.exp(-(along**2) / (2 * deviation**2))
    rows, columns = reach + along * math.sin(angle), reach + along * math.cos(angle)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            shares = (1 - abs(rows - top - down)) * (1 - abs(columns - left - right))
            np.add.at(
                kernel, (np.minimum(top + down, 2 * reach), np.minimum(left + right, 2 * reach)), weights * shares
            )
    return kernel / kernel.sum()
