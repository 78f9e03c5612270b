"""Parts of the figures in this folder: grids of tokens, boxes and arrows, in colours for all eyes."""

import pathlib
from collections.abc import Collection

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

INK = "#222222"
GREY = "#BBBBBB"
PALE = "#F2F2F2"
BLUE = "#0072B2"
ORANGE = "#E69F00"
ORANGE_TEXT = "#9A6A00"
GREEN = "#009E73"

Point = tuple[float, float]


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Makes an empty drawing.

    Args:
      width: in units of the drawing; 100 are 7 inches.
      height: in the same units.

    Returns:
      Figure and axes, with the origin in the lower left corner.
    """
    figure = Figure(figsize=(width * 0.07, height * 0.07))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.set_axis_off()
    return figure, axes


def save(figure: Figure, source: str) -> None:
    """Writes the figure as SVG beside its program, the same bytes every time.

    Args:
      figure: drawing of `canvas`.
      source: the program's `__file__`.
    """
    with mpl.rc_context({"svg.hashsalt": "motion_vit"}):
        figure.savefig(pathlib.Path(source).with_suffix(".svg"), metadata={"Date": None}, facecolor="white")


def grid(
    axes: Axes,
    corner: Point,
    *,
    cells: int,
    side: float,
    colors: dict[tuple[int, int], str] | None = None,
    outline: Collection[tuple[int, int]] = (),
) -> None:
    """Draws the tokens of a frame.

    Args:
      axes: the drawing.
      corner: the lower left corner.
      cells: number of rows, and of columns.
      side: side of a cell.
      colors: (row, column), from the upper left -> colour of the cell.
      outline: cells to outline together.
    """
    x, y = corner
    for row in range(cells):
        for column in range(cells):
            color = (colors or {}).get((row, column), PALE)
            place = (x + column * side, y + (cells - 1 - row) * side)
            axes.add_patch(Rectangle(place, side, side, facecolor=color, edgecolor=GREY, linewidth=0.6))
    if outline:
        rows, columns = zip(*outline, strict=True)
        place = (x + min(columns) * side, y + (cells - 1 - max(rows)) * side)
        size = ((max(columns) - min(columns) + 1) * side, (max(rows) - min(rows) + 1) * side)
        axes.add_patch(Rectangle(place, *size, facecolor="none", edgecolor=BLUE, linewidth=2))


def heat(axes: Axes, corner: Point, values: np.ndarray, side: float) -> None:
    """Draws a map of values, dark where they are small.

    Args:
      axes: the drawing.
      corner: the lower left corner.
      values: `[rows, columns]`.
      side: side of a cell.
    """
    x, y = corner
    shades = mpl.colormaps["cividis"]((values - values.min()) / (values.max() - values.min()))
    for (row, column), _ in np.ndenumerate(values):
        place = (x + column * side, y + (values.shape[0] - 1 - row) * side)
        axes.add_patch(Rectangle(place, side, side, facecolor=shades[row, column], edgecolor="white", linewidth=0.4))


def box(axes: Axes, centre: Point, text: str, *, width: float, height: float = 8.0, color: str = PALE) -> None:
    """Draws a step of a computation.

    Args:
      axes: the drawing.
      centre: in units of the drawing.
      text: description of the step.
      width: in units of the drawing.
      height: in units of the drawing.
      color: of the fill.
    """
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    shape = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=1.2", fc=color, ec=INK, lw=0.8)
    axes.add_patch(shape)
    label(axes, centre, text)


def label(axes: Axes, place: Point, text: str, *, color: str = INK, size: float = 8.5, align: str = "center") -> None:
    """Writes text, in one line or several.

    Args:
      axes: the drawing.
      place: the middle of the text, or of its left or right end.
      text: formulas are between dollars.
      color: of the letters.
      size: in points.
      align: "center", "left" or "right".
    """
    axes.text(*place, text, ha=align, va="center", fontsize=size, color=color, linespacing=1.35)


def arrow(axes: Axes, start: Point, end: Point, *, color: str = INK) -> None:
    """Draws an arrow.

    Args:
      axes: the drawing.
      start: its tail.
      end: its head.
      color: of the line.
    """
    shape = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, lw=1.1, color=color, shrinkA=0, shrinkB=0)
    axes.add_patch(shape)


def path(axes: Axes, *points: Point, color: str = INK) -> None:
    """Draws an arrow with corners.

    Args:
      axes: the drawing.
      *points: its tail, its corners, and its head.
      color: of the line.
    """
    *corners, last = points
    axes.plot(*zip(*corners, strict=True), color=color, linewidth=1.1, solid_joinstyle="miter")
    arrow(axes, corners[-1], last, color=color)
