"""Draws maps of layers over frames of the video, on axes of matplotlib whose unit is the pixel of the video."""

from typing import SupportsIndex

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from motion_vit.visualization.color_maps import SEQUENTIAL, ColorMap, colorize
from motion_vit.visualization.flow_colors import flow_colors, wheel_picture
from motion_vit.visualization.layer_maps import ClipFrames, MotionMap, ScalarMap
from motion_vit.visualization.token_grid import TokenGrid

OPACITY = 0.6
"""How much of the frame a map hides."""

# Of the Okabe-Ito palette, which colour-blind readers tell apart.
TRACK_COLOR = "#F0E442"
GREATEST_COLOR = "#D55E00"

# Arrows shorter than this share of the scale are dots, which hide the frame and say nothing.
_SHORTEST_ARROW = 0.05
_WHEEL_PIXELS = 151


def draw_frame(axes: Axes, clip: ClipFrames, frame: int, *, grey: bool = False, zoom: TokenGrid | None = None) -> None:
    """Draws a frame of the video.

    Args:
      axes: target of the drawing.
      clip: frames in the size of the drawing.
      frame: number of the frame in the clip.
      grey: whether to draw without colours, so that all colour belongs to a map over it.
      zoom: patches to show alone, without the rest of the video; None shows all of it.
    """
    height, width = clip.view.video_size
    picture = clip.frames[frame]
    if grey:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    axes.imshow(picture, extent=(0, width, height, 0), interpolation="bilinear")
    axes.set_axis_off()
    top, left, high, wide = (0.0, 0.0, float(height), float(width)) if zoom is None else zoom.box
    axes.set_xlim(left, left + wide)
    axes.set_ylim(top + high, top)


def draw_colors(axes: Axes, grid: TokenGrid, colors: UInt8[np.ndarray, "h w 4"], *, opacity: float = OPACITY) -> None:
    """Lays a colour over each patch of a frame.

    Args:
      axes: with the frame.
      grid: places of the patches.
      colors: RGB and opacity of each patch.
      opacity: opacity of the colours over the frame.
    """
    rows, columns = grid.edges
    shares = colors / 255
    shares[..., 3] *= opacity
    axes.pcolorfast(columns, rows, shares)


def draw_motion(axes: Axes, motion: MotionMap, channel: int, entry: SupportsIndex, *, opacity: float = OPACITY) -> None:
    """Draws a displacement field as the colours of the Middlebury wheel and as arrows.

    Args:
      axes: with the frame.
      motion: the fields.
      channel: number of the field.
      entry: number of the frame pair.
      opacity: opacity of the colours over the frame.
    """
    flow = motion.flow[channel, entry]
    known = np.isfinite(flow).all(axis=-1)
    colors = np.concatenate(
        [flow_colors(flow, motion.greatest), np.where(known, 255, 0)[..., None].astype(np.uint8)], axis=-1
    )
    draw_colors(axes, motion.grid, colors, opacity=opacity)
    shown = known & (
        np.hypot(*np.moveaxis(np.where(known[..., None], flow, 0), -1, 0)) > _SHORTEST_ARROW * motion.greatest
    )
    rows, columns = np.nonzero(shown)
    y, x = motion.grid.centre(rows, columns)
    arrows = axes.quiver(
        x, y, *flow[shown].T, angles="xy", scale_units="xy", scale=1, width=0.006, headwidth=4, color="black"
    )
    arrows.set_path_effects([patheffects.withStroke(linewidth=1.6, foreground="white")])


def draw_scalar(axes: Axes, scalar: ScalarMap, channel: int, entry: SupportsIndex, *, opacity: float = OPACITY) -> None:
    """Draws values of patches as colours.

    Args:
      axes: with the frame.
      scalar: values of patches.
      channel: number of the channel.
      entry: number of the map's frame.
      opacity: opacity of the colours over the frame.
    """
    colors = colorize(scalar.values[channel, entry], scalar.limits, scalar.color_map)
    draw_colors(axes, scalar.grid, colors, opacity=opacity)


def draw_patch(axes: Axes, grid: TokenGrid, patch: tuple[int, int], *, color: str = "white") -> None:
    """Outlines a patch.

    Args:
      axes: with the frame.
      grid: places of the patches.
      patch: row and column of the patch.
      color: of the line, which has a black edge.
    """
    top, left, height, width = grid.patch_box(*patch)
    edge = [patheffects.withStroke(linewidth=3, foreground="black")]
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=color, linewidth=1.5, path_effects=edge))


def draw_track(axes: Axes, track: Float[np.ndarray, "points 2"], passed: int | None = None) -> None:
    """Draws the track of a point.

    Args:
      axes: with the frame.
      track: (y, x) of the point, one for each frame of the layer; NaN where it is lost.
      passed: the point's number in the track in this frame; None draws no dot.
    """
    edge = [patheffects.withStroke(linewidth=3, foreground="black")]
    axes.plot(track[:, 1], track[:, 0], color=TRACK_COLOR, linewidth=1.5, path_effects=edge)
    if passed is not None and passed < len(track):
        axes.plot(*track[passed, ::-1], "o", color=TRACK_COLOR, markersize=5, markeredgecolor="black")


def draw_wheel(axes: Axes, motion: MotionMap) -> None:
    """Draws the legend of motion: the colour wheel, with the speed of its edge.

    Args:
      axes: target of the drawing.
      motion: the fields.
    """
    axes.imshow(wheel_picture(_WHEEL_PIXELS))
    axes.set_axis_off()
    axes.set_title(f"edge: {motion.greatest:.3g}\n{motion.unit}", fontsize=8)


def color_scale(limits: tuple[float, float], color_map: ColorMap = SEQUENTIAL) -> ScalarMappable:
    """Makes the scale for a colour bar of matplotlib.

    Args:
      limits: the values of the first and the last colour.
      color_map: the colours.

    Returns:
      The scale.
    """
    return ScalarMappable(Normalize(*limits), color_map)
