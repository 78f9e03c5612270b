"""Contact sheets of maps: frames of a clip side by side, with the scale, the unit and the name of the layer."""

import dataclasses
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.outside_text import for_plot
from motion_vit.visualization.color_maps import ColorMap
from motion_vit.visualization.drawing import (
    color_scale,
    draw_frame,
    draw_motion,
    draw_patch,
    draw_scalar,
    draw_track,
    draw_wheel,
)
from motion_vit.visualization.layer_maps import ClipFrames, MotionMap, ScalarMap

Point = tuple[float, float]
"""(y, x) in pixels of the video."""

# Entries and channels that a sheet shows, evenly spread; more would be too small to see.
_SHOWN_ENTRIES = 6
_SHOWN_CHANNELS = 5
_INCHES = 2.1
_LEGEND_INCHES = 1.7
_LABEL_INCHES = 1.4
_TITLE_INCHES = 0.7
_GAP_INCHES = 0.08
# Of the title's letters, and of the label of a row.
_CHARACTERS_AN_INCH = 11.5
_CHARACTERS_OF_LABEL = 18
_DPI = 100


@dataclasses.dataclass(frozen=True)
class Sheet:
    """An empty sheet.

    Attributes:
      figure: the picture.
      cells: axes, row by row.
      legends: the axes at the end of each row.
    """

    figure: Figure
    cells: tuple[tuple[Axes, ...], ...]
    legends: tuple[Axes, ...]

    def color_bar(
        self, row: int, limits: tuple[float, float], unit: str, color_map: ColorMap, *, exceeded: bool = False
    ) -> None:
        """Draws the scale of a row beside it, with a point at its end if values exceed it."""
        axes = self.legends[row].inset_axes((0.12, 0.05, 0.1, 0.85))
        bar = self.figure.colorbar(color_scale(limits, color_map), cax=axes, extend="max" if exceeded else "neither")
        bar.ax.tick_params(labelsize=8)
        bar.set_label(unit, fontsize=8)


def empty_sheet(title: str, labels: Sequence[str], columns: int, *, shape: tuple[float, float]) -> Sheet:
    """Makes a sheet of rows and columns of axes.

    Args:
      title: line above the sheet.
      labels: names of the rows.
      columns: number of axes in a row, besides its legend.
      shape: height and width of the axes' content; only their ratio counts.

    Returns:
      The sheet.
    """
    height = min(1.6 * _INCHES, _INCHES * shape[0] / shape[1])
    width = height * shape[1] / shape[0]
    # All sizes are known: a layout engine would take longer than the drawing.
    wide = _LABEL_INCHES + columns * (width + _GAP_INCHES) + _LEGEND_INCHES
    high = _TITLE_INCHES + len(labels) * (height + _GAP_INCHES)
    figure = Figure(figsize=(wide, high), dpi=_DPI)
    FigureCanvasAgg(figure)
    lines = textwrap.fill(title, round(wide * _CHARACTERS_AN_INCH))
    # Names of videos and classes are no mathematics, though they may have dollar signs.
    figure.suptitle(lines, fontsize=11, y=1 - 0.06 / high, va="top", parse_math=False)
    widths = [_LABEL_INCHES - _GAP_INCHES, *[width] * columns, _LEGEND_INCHES - _GAP_INCHES]
    axes = figure.subplots(
        len(labels),
        columns + 2,
        squeeze=False,
        width_ratios=widths,
        gridspec_kw={
            "left": 0,
            "right": 1,
            "bottom": _GAP_INCHES / high,
            "top": 1 - _TITLE_INCHES / high,
            "wspace": _GAP_INCHES / (sum(widths) / len(widths)),
            "hspace": _GAP_INCHES / height,
        },
    )
    for row, label in zip(axes, labels, strict=True):
        for cell in row:
            cell.set_axis_off()
        label = for_plot(label)
        words = label if "\n" in label else textwrap.fill(label, _CHARACTERS_OF_LABEL)
        row[0].text(0.95, 0.5, words, ha="right", va="center", fontsize=9, transform=row[0].transAxes, parse_math=False)
    return Sheet(figure, tuple(tuple(row[1:-1]) for row in axes), tuple(row[-1] for row in axes))


def motion_sheet(clip: ClipFrames, motion: MotionMap, *, heading: str, point: Point | None = None) -> Figure:
    """Draws the displacement fields of a layer as colours and arrows, with their confidence.

    Args:
      clip: frames in the size of the drawing.
      motion: the fields. The mean over the heads comes first, then its confidence, then heads.
      heading: first words above the picture, such as the video's name.
      point: point whose track is drawn.

    Returns:
      The picture; `Figure.savefig` writes it.
    """
    entries = spread(len(motion.pairs), _SHOWN_ENTRIES)
    confidence = motion.confidence_map
    heads = 1 + spread(len(motion.channels) - 1, _SHOWN_CHANNELS - 1)
    sure = f"confidence\n(mean {np.nanmean(confidence.values[0]):.2g})"
    labels = [motion.channels[0], sure, *(motion.channels[head] for head in heads)]
    title = f"{heading}: motion field of {motion.layer}"
    if motion.is_nearly_even:
        title += " (confidence near 0: displacements are nearly equally likely)"
    sheet = empty_sheet(title, labels, len(entries), shape=clip.view.video_size)
    has_track = point is not None and motion.field.frame_offset > 0
    track = motion.track(0, *point) if point is not None and has_track else None
    for place, entry in enumerate(entries):
        first, second = motion.pairs[entry]
        sheet.cells[0][place].set_title(f"{clip.caption(first)}\nto {clip.caption(second)}", fontsize=8)
        for row, cells in enumerate(sheet.cells):
            draw_frame(cells[place], clip, first, grey=row == 1)
            if row == 1:
                draw_scalar(cells[place], confidence, 0, entry, opacity=0.75)
            else:
                draw_motion(cells[place], motion, 0 if row == 0 else int(heads[row - 2]), entry)
        if track is not None:
            draw_track(sheet.cells[0][place], track, motion.grid.clip_frames.index(first))
    draw_wheel(sheet.legends[0], motion)
    sheet.color_bar(1, confidence.limits, confidence.unit, confidence.color_map)
    return sheet.figure


def scalar_sheet(clip: ClipFrames, scalar: ScalarMap, *, heading: str, point: Point | None = None) -> Figure:
    """Draws values of patches over frames.

    Args:
      clip: frames in the size of the drawing.
      scalar: the values; of many channels only some are drawn.
      heading: first words above the picture.
      point: point whose patch is framed where the map is its attention.

    Returns:
      The picture.
    """
    entries = spread(scalar.values.shape[1], _SHOWN_ENTRIES)
    channels = spread(len(scalar.channels), _SHOWN_CHANNELS)
    labels = [scalar.channels[channel] for channel in channels]
    title = f"{heading}: {scalar.title}, {scalar.layer}"
    sheet = empty_sheet(title, labels, len(entries), shape=clip.view.video_size)
    for place, entry in enumerate(entries):
        frame = scalar.grid.clip_frames[entry]
        sheet.cells[0][place].set_title(clip.caption(frame), fontsize=8)
        for cells, channel in zip(sheet.cells, channels, strict=True):
            draw_frame(cells[place], clip, frame, grey=True)
            draw_scalar(cells[place], scalar, int(channel), int(entry))
            if point is not None and scalar.of_point and not entry:
                draw_patch(cells[place], scalar.grid, scalar.grid.patch_at(*point))
    sheet.color_bar(0, scalar.limits, scalar.unit, scalar.color_map, exceeded=scalar.exceeds_limits)
    return sheet.figure


def spread(count: int, most: int) -> Int[np.ndarray, " shown"]:
    """Spreads numbers evenly, from 0 on.

    Args:
      count: numbers to choose from.
      most: largest number of chosen ones.

    Returns:
      The numbers, from the first to the last.
    """
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)
