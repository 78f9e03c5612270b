"""Occlusion: how much a logit drops where a box of space and time is covered.

Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks" (arXiv 1311.2901), here with boxes
that also have a length in time.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.visualization.clip_versions import Clip, grey, version_logits

Box = tuple[int, int, int]
"""Frames, rows and columns of pixels of a box."""

# Boxes along the time and along a side of the clip, unless their size is given.
_BOXES_IN_TIME = 4
_BOXES_ON_A_SIDE = 6


def default_box(clip_shape: tuple[int, ...]) -> Box:
    """Chooses the size of boxes: a quarter of the frames and a sixth of each side, rounded up.

    Args:
      clip_shape: frames, height and width of the clip, and its channels or not.

    Returns:
      Frames, rows and columns.
    """
    frames, height, width = clip_shape[:3]
    return (
        math.ceil(frames / _BOXES_IN_TIME),
        math.ceil(height / _BOXES_ON_A_SIDE),
        math.ceil(width / _BOXES_ON_A_SIDE),
    )


def occlusion_drops(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array | np.ndarray, "b t h w 3"],
    *,
    box: Box | None = None,
    baseline: Float[Array | np.ndarray, "b t h w 3"] | None = None,
) -> Float[np.ndarray, "b n rows columns classes"]:
    """Measures by how much each logit drops where a box of the clip is covered by a baseline.

    Boxes lie side by side from the first frame and the upper left corner on; the last ones are smaller where the clip
    ends. A box without influence has a drop of exactly 0, one that speaks against the class a negative one.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips. Each takes a forward pass for every box.
      box: frames, rows and columns of a box in pixels of the clip; None for `default_box`.
      baseline: normalised clips whose content covers the boxes; None for grey ones, zeros.

    Returns:
      Drops of the logits of all classes, by the number of the box in time, down and to the right. The drop of a
      difference of two logits is the difference of their drops.

    Raises:
      UserError: the box is no size, the baseline has another shape, or the model cannot take such clips.
    """
    seen = np.asarray(clips, np.float32)
    size = default_box(seen.shape[1:]) if box is None else box
    if len(size) != 3 or not all(isinstance(side, int) and side >= 1 for side in size):
        raise UserError(f"box is {box!r}, but must be three whole numbers from 1: frames, rows and columns of pixels.")
    covers = np.stack([grey(clip) for clip in seen]) if baseline is None else np.asarray(baseline, np.float32)
    if covers.shape != seen.shape:
        raise UserError(f"the baseline has the shape {covers.shape}, but the clips have {seen.shape}; give both alike.")
    counts = tuple(math.ceil(length / side) for length, side in zip(seen.shape[1:4], size, strict=True))
    drops = []
    for clip, cover in zip(seen, covers, strict=True):
        whole, *covered = version_logits(model, variables, _versions(clip, cover, size))
        drops.append(whole - np.stack(covered).reshape(*counts, -1))
    return np.stack(drops)


def _versions(clip: Clip, cover: Clip, size: Box) -> Iterator[Clip]:
    """Makes the clip itself, then the clip with each box covered."""
    yield clip
    frames, height, width = clip.shape[:3]
    for first in range(0, frames, size[0]):
        for top in range(0, height, size[1]):
            for left in range(0, width, size[2]):
                box = np.s_[first : first + size[0], top : top + size[1], left : left + size[2]]
                version = clip.copy()
                version[box] = cover[box]
                yield version
