"""Draws tables and curves: the neighbourhood of a patch, attention of frames, the curve of a prompt."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from motion_vit.outside_text import for_plot
from motion_vit.visualization.color_maps import SEQUENTIAL, colorize, value_limits
from motion_vit.visualization.contact_sheets import Point, empty_sheet, spread
from motion_vit.visualization.drawing import (
    GREATEST_COLOR,
    color_scale,
    draw_colors,
    draw_frame,
    draw_patch,
)
from motion_vit.visualization.layer_maps import ClipFrames, FrameAttention, MotionMap, PromptMap, softmax_window

_SHOWN_PAIRS = 6
_SHOWN_HEADS = 4
_DPI = 100
# The colour of displacements that leave the frame.
_OUTSIDE = np.array([225, 225, 225, 255], np.uint8)


def cost_volume_sheet(clip: ClipFrames, motion: MotionMap, *, heading: str, point: Point) -> Figure:
    """Draws the cost volume of one patch over time: over the frames, and head by head as tables.

    Args:
      clip: frames in the size of the drawing.
      motion: a layer with its affinities.
      heading: first words above the picture, such as the video's name.
      point: (y, x) of a point of the patch, in pixels of the video.

    Returns:
      The picture.

    Raises:
      ValueError: the layer has no affinities.
      UserError: the layer sees nothing at that point.
    """
    if motion.volume is None:
        raise ValueError(f"the affinities of {motion.layer} were left out")
    patch = motion.grid.patch_at(*point)
    pairs, heads = spread(len(motion.pairs), _SHOWN_PAIRS), spread(motion.volume.shape[3], _SHOWN_HEADS)
    affinity = motion.volume[:, patch[0], patch[1]]
    softmax = softmax_window(affinity)
    names = [motion.channels[head + 1] for head in heads]
    tables = [softmax.mean(axis=1), *(softmax[:, head] for head in heads), *(affinity[:, head] for head in heads)]
    labels = ["over the\nsecond frame", "softmax,\nmean of heads", *(f"softmax,\n{name}" for name in names)]
    labels += [f"affinity,\n{name}" for name in names]
    title = f"{heading}: cost volume of {motion.layer}, patch at row {patch[0] + 1}, column {patch[1] + 1}"
    sheet = empty_sheet(title, labels, len(pairs), shape=(1, 1))
    scales = [value_limits(np.append(table[pairs], 0.0)) for table in tables[: len(heads) + 1]]
    scales += [value_limits(affinity[pairs][:, heads])] * len(heads)
    for place, pair in enumerate(pairs):
        first, second = motion.pairs[pair]
        sheet.cells[0][place].set_title(f"{clip.caption(first)}\nto {clip.caption(second)}", fontsize=8)
        draw_frame(sheet.cells[0][place], clip, second, grey=True, zoom=motion.grid)
        _draw_over_frame(sheet.cells[0][place], motion, tables[0][pair], patch, scales[0])
        for cells, table, limits in zip(sheet.cells[1:], tables, scales, strict=True):
            _draw_table(cells[place], table[pair], motion.window, limits)
    for row, limits in enumerate(scales[: len(heads) + 2], start=1):
        unit = "softmax" if row < len(heads) + 2 else "affinity (logit)"
        sheet.color_bar(row, limits, unit, SEQUENTIAL)
    return sheet.figure


def frame_attention_sheet(attention: FrameAttention, *, heading: str, point: Point | None = None) -> Figure:
    """Draws the attention of frames to frames, head by head.

    Args:
      attention: the weights.
      heading: first words above the picture.
      point: a point of the patch whose attention is drawn, where patches have their own; None for the mean of all.

    Returns:
      The picture.
    """
    values, whose = attention.values.mean(axis=1), ""
    if attention.values.shape[1] > 1:
        whose = ", mean of all patches"
        if point is not None:
            row, column = attention.grid.patch_at(*point)
            values = attention.values[:, row * attention.grid.columns + column]
            whose = f", patch at row {row + 1}, column {column + 1}"
    heads = spread(len(values), _SHOWN_HEADS)
    figure = Figure(figsize=(2.0 + 2.8 * len(heads), 3.6), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    title = f"{heading}: {attention.title}, {attention.layer}{whose}"
    figure.suptitle(title, fontsize=10, wrap=True, parse_math=False)
    numbers = [attention.grid.frame_numbers[frame] for frame in attention.grid.clip_frames]
    limits = (0.0, float(np.max(values)))
    row_of_axes = figure.subplots(1, len(heads), squeeze=False)[0]
    ticks = spread(len(numbers), 8)
    for axes, head in zip(row_of_axes, heads, strict=True):
        axes.imshow(values[head], cmap=SEQUENTIAL, vmin=limits[0], vmax=limits[1])
        axes.set_title(for_plot(attention.channels[head]) if len(attention.channels) > 1 else "", fontsize=9)
        axes.set_xlabel("frame attended to", fontsize=8)
        axes.set_xticks(ticks, [numbers[tick] for tick in ticks], fontsize=7)
        axes.set_yticks(ticks, [numbers[tick] for tick in ticks], fontsize=7)
    row_of_axes[0].set_ylabel("frame that attends", fontsize=8)
    bar = figure.colorbar(color_scale(limits), ax=list(row_of_axes), shrink=0.8)
    bar.set_label("attention; a row adds up to 1", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def prompt_sheet(prompt: PromptMap, *, heading: str) -> Figure:
    """Draws the curve from a change of brightness to attention.

    Args:
      prompt: the curve.
      heading: first words above the picture.

    Returns:
      The picture.
    """
    figure = Figure(figsize=(5.5, 3.4), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(prompt.curve.change, prompt.curve.attention, color="#0072B2", linewidth=2)
    axes.axvline(prompt.curve.shift, color=GREATEST_COLOR, linestyle="--", label=f"shift b = {prompt.curve.shift:.3f}")
    axes.axhline(0.5, color="grey", linestyle=":", linewidth=1)
    axes.set_xlabel("change of the grey value to the next frame (pixels from 0 to 1)")
    axes.set_ylabel("attention")
    axes.set_ylim(-0.02, 1.02)
    title = f"{heading}: {prompt.layer}, slope a = {prompt.curve.slope:.2f}"
    axes.set_title(title, fontsize=10, wrap=True, parse_math=False)
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def _draw_over_frame(
    axes: Axes,
    motion: MotionMap,
    weights: Float[np.ndarray, " k2"],
    patch: tuple[int, int],
    limits: tuple[float, float],
) -> None:
    """Draws the neighbourhood of a patch in its place, over the second frame of the pair."""
    grid, half = motion.grid, motion.window // 2
    values = np.full((grid.rows + 2 * half, grid.columns + 2 * half), np.nan)
    rows, columns = slice(patch[0], patch[0] + motion.window), slice(patch[1], patch[1] + motion.window)
    values[rows, columns] = weights.reshape(motion.window, motion.window)
    inside = values[half : half + grid.rows, half : half + grid.columns]
    draw_colors(axes, grid, colorize(inside, limits))
    draw_patch(axes, grid, patch)


def _draw_table(axes: Axes, values: Float[np.ndarray, " k2"], window: int, limits: tuple[float, float]) -> None:
    """Draws a neighbourhood as cells: white frame at the same place, orange at the greatest value, grey outside."""
    table = values.reshape(window, window)
    colors = colorize(table, limits)
    axes.imshow(np.where(colors[..., 3:] > 0, colors, _OUTSIDE), interpolation="nearest")
    best = np.unravel_index(int(np.nanargmax(table)), table.shape)
    for (row, column), color in (((window // 2, window // 2), "white"), (best, GREATEST_COLOR)):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=color, linewidth=1.5))
