"""Crops and resizing of clips, on uint8 frames with OpenCV: one draw for all frames of a clip."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

# Draws before a random crop gives up on the asked shapes, as in torchvision.
_CROP_ATTEMPTS = 10
# Multi-scale crops: a box whose side is less than this many pixels from the asked size gets that size.
_NEARLY_THE_SIZE = 3
# And its places, (down, right) in quarters of the room: corners, centre, middles of the sides, centres of the quarters.
_CROP_PLACES = (
    *((0, 0), (0, 4), (4, 0), (4, 4)),
    (2, 2),
    *((2, 0), (2, 4), (4, 2), (0, 2)),
    *((1, 1), (1, 3), (3, 1), (3, 3)),
)


def resize_frames(clip: UInt8[np.ndarray, "t h w 3"], height: int, width: int) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Resizes every frame bilinearly, as the authors' loaders do.

    Args:
      clip: the frames.
      height: height of the result in pixels.
      width: width of the result in pixels.

    Returns:
      The resized clip, or the clip itself where it has this size.
    """
    if clip.shape[1:3] == (height, width):
        return clip
    resized = np.empty((clip.shape[0], height, width, 3), np.uint8)
    for source, target in zip(clip, resized, strict=True):
        cv2.resize(source, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    return resized


def _crop_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draws (top, left, height, width) of a box with a random share of the area and a random shape."""
    for _ in range(_CROP_ATTEMPTS):
        area = height * width * rng.uniform(*scale)
        shape = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        box_width, box_height = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(rng.integers(0, height - box_height, endpoint=True))
            left = int(rng.integers(0, width - box_width, endpoint=True))
            return top, left, box_height, box_width
    # A long picture may have no box of such a shape and area: the largest central one of an allowed shape stands in.
    shape = min(max(width / height, ratio[0]), ratio[1])
    box_width, box_height = min(width, max(1, round(height * shape))), min(height, max(1, round(width / shape)))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def random_resized_crop(
    clip: UInt8[np.ndarray, "t h w 3"],
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "t size size 3"]:
    """Cuts one random box out of all frames and resizes it to a square.

    Args:
      clip: the frames.
      size: side of the result in pixels.
      scale: least and greatest share of the picture's area; the share is uniform.
      ratio: least and greatest width / height of the box; its logarithm is uniform.
      rng: source of the draw.

    Returns:
      The square clip.
    """
    top, left, height, width = _crop_box(clip.shape[1], clip.shape[2], scale, ratio, rng)
    return resize_frames(clip[:, top : top + height, left : left + width], size, size)


def multi_scale_crop(
    clip: UInt8[np.ndarray, "t h w 3"],
    size: int,
    scales: Sequence[float],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "t size size 3"]:
    """Cuts a box of one of a few sizes at one of 13 places out of all frames and resizes it to a square.

    The augmentation of TSN and TSM: `GroupMultiScaleCrop` in ops/transforms.py of mit-han-lab/temporal-shift-module,
    with `max_distort=1` and `more_fix_crop`. Height and width are drawn among the shorter side of the picture times
    the scales, never more than one step of the scales apart.

    Args:
      clip: the frames.
      size: side of the result in pixels.
      scales: sides of the boxes as shares of the picture's shorter side, from large to small; 1, 0.875, 0.75 and 0.66
        in TSN and TSM.
      rng: source of the draw.

    Returns:
      The square clip.
    """
    height, width = clip.shape[1:3]
    short = min(height, width)
    sides = [max(1, int(short * scale)) for scale in scales]
    # A box of almost the asked size is cut at that size, so that it need not be resized.
    sides = [size if abs(side - size) < _NEARLY_THE_SIZE and size <= short else side for side in sides]
    pairs = [(i, j) for i in range(len(sides)) for j in range(len(sides)) if abs(i - j) <= 1]
    i, j = pairs[rng.integers(len(pairs))]
    vertical, horizontal = _CROP_PLACES[rng.integers(len(_CROP_PLACES))]
    box_height, box_width = sides[i], sides[j]
    top = (height - box_height) // 4 * vertical
    left = (width - box_width) // 4 * horizontal
    return resize_frames(clip[:, top : top + box_height, left : left + box_width], size, size)


def resize_short_side(clip: UInt8[np.ndarray, "t h w 3"], size: int) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Resizes all frames so that the shorter side has `size` pixels and the shape is kept.

    Args:
      clip: the frames.
      size: the shorter side of the result in pixels.

    Returns:
      The resized clip; the longer side is rounded down.
    """
    return resize_frames(clip, *short_side_shape(clip.shape[1], clip.shape[2], size))


def short_side_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Returns the height and width that `resize_short_side` gives a picture for the short side `size`."""
    if height <= width:
        return size, size * width // height
    return size * height // width, size


def crop_views(clip: UInt8[np.ndarray, "t h w 3"], size: int, crops: int) -> UInt8[np.ndarray, "crops t size size 3"]:
    """Cuts the square crops of a test along the longer side.

    Args:
      clip: the frames, no side shorter than `size`.
      size: side of the crops in pixels.
      crops: 1 for the centre; 3 for left, centre and right (top, centre and bottom of an upright picture).

    Returns:
      The crops, stacked.

    Raises:
      ValueError: another number of crops, or a clip smaller than the crops.
    """
    height, width = clip.shape[1:3]
    if min(height, width) < size:
        raise ValueError(f"frames of {height}x{width} pixels cannot hold crops of {size}x{size}")
    if crops not in (1, 3):
        raise ValueError(f"crops must be 1 or 3; given {crops}")
    corners = crop_corners(height, width, size, crops)
    return np.stack([clip[:, top : top + size, left : left + size] for top, left in corners])


def crop_corners(height: int, width: int, size: int, crops: int) -> list[tuple[int, int]]:
    """Returns the upper left corners, (top, left), of the crops that `crop_views` cuts."""
    places = (0.5,) if crops == 1 else (0.0, 0.5, 1.0)
    directions = [(place, 0.5) if height > width else (0.5, place) for place in places]
    return [
        (math.ceil((height - size) * vertical), math.ceil((width - size) * horizontal))
        for vertical, horizontal in directions
    ]
