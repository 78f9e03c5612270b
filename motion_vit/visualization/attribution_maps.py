"""Makes maps for drawing from integrated gradients and occlusion, which attribute an answer to parts of the clip."""

import math
from collections.abc import Sequence

import numpy as np

from motion_vit.visualization.class_maps import Contrast, contrast_names
from motion_vit.visualization.clip_recording import Subject
from motion_vit.visualization.clip_view import ClipView
from motion_vit.visualization.color_maps import DIVERGING, value_limits
from motion_vit.visualization.integrated_gradients import integrated_gradients
from motion_vit.visualization.layer_maps import ScalarMap
from motion_vit.visualization.occlusion import Box, default_box, occlusion_drops
from motion_vit.visualization.token_grid import TokenGrid

LAYER = "clip"
"""The name of the layer of maps of the input itself."""

# Boxes along a side of the clip that the pixels of integrated gradients are summed in: as many as can be told apart.
_MOST_BOXES = 28


def integrated_gradient_maps(subject: Subject, classes: Sequence[Contrast]) -> list[ScalarMap]:
    """Makes a map of what the parts of each frame add to the logits of classes, compared with a grey clip.

    Args:
      subject: model and clip.
      classes: of `class_maps.asked_classes` or `class_maps.most_probable`.

    Returns:
      One map with a channel for each class and difference. Pixels are summed in square boxes, at most 28 along a side,
      so that a map still adds up to the difference of the logits.
    """
    side = math.ceil(subject.view.size / _MOST_BOXES)
    of_class = {}
    for number in dict.fromkeys(one for contrast in classes for one in contrast if one is not None):
        pixels = integrated_gradients(subject.model, subject.variables, subject.inputs, number)
        of_class[number] = _box_sums(np.asarray(pixels)[0], side)
    values = [of_class[first] - (0.0 if second is None else of_class[second]) for first, second in classes]
    return [_map("Integrated gradients", subject, classes, np.stack(values), (1, side, side), "part of the logit")]


def occlusion_maps(subject: Subject, classes: Sequence[Contrast]) -> list[ScalarMap]:
    """Makes a map of how much the logits of classes drop where a box of space and time is covered with grey.

    Args:
      subject: model and clip.
      classes: of `class_maps.asked_classes` or `class_maps.most_probable`.

    Returns:
      One map with a channel for each class and difference.
    """
    box = default_box(subject.inputs.shape[1:])
    drops = occlusion_drops(subject.model, subject.variables, np.asarray(subject.inputs), box=box)[0]
    values = [drops[..., first] - (0.0 if second is None else drops[..., second]) for first, second in classes]
    return [_map("Occlusion", subject, classes, np.stack(values), box, "drop of the logit")]


def box_grid(view: ClipView, box: Box) -> TokenGrid:
    """Makes the grid of boxes that lie side by side from the first frame and the upper left corner of a clip on.

    Args:
      view: place of the clip in the video.
      box: frames, rows and columns of a box in pixels of the clip.

    Returns:
      The grid, with the boxes as tokens.
    """
    frames, (down, right), (top, left, _, _) = len(view.frame_numbers), view.scale, view.box
    stride = (box[1] * down, box[2] * right)
    return TokenGrid(
        frames=math.ceil(frames / box[0]),
        rows=math.ceil(view.size / box[1]),
        columns=math.ceil(view.size / box[2]),
        # The frame in the middle of each box, or the last one.
        clip_frames=tuple(min(first + (box[0] - 1) // 2, frames - 1) for first in range(0, frames, box[0])),
        frame_numbers=view.frame_numbers,
        times=view.times,
        video_size=view.video_size,
        box=view.box,
        stride=stride,
        first_centre=(top + stride[0] / 2, left + stride[1] / 2),
    )


def _map(
    title: str, subject: Subject, classes: Sequence[Contrast], values: np.ndarray, box: Box, unit: str
) -> ScalarMap:
    limits = value_limits(values, signed=True)
    names = contrast_names(subject, classes)
    return ScalarMap(title, LAYER, box_grid(subject.view, box), names, "Class", values, unit, limits, DIVERGING)


def _box_sums(pixels: np.ndarray, side: int) -> np.ndarray:
    """Sums the pixels of square boxes, the last of which may be smaller."""
    rows, columns = (range(0, length, side) for length in pixels.shape[1:])
    sums: np.ndarray = np.add.reduceat(np.add.reduceat(pixels, rows, axis=1), columns, axis=2)
    return sums
