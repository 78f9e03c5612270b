"""Animations of maps: a clip with a map over it, as GIF or MP4, with scale, unit and the name of the layer."""

import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from motion_vit.data.video.encoding import write_video
from motion_vit.files.atomic_file import atomic_file
from motion_vit.files.figure_file import literal_text
from motion_vit.visualization.contact_sheets import Point
from motion_vit.visualization.drawing import (
    color_scale,
    draw_frame,
    draw_motion,
    draw_patch,
    draw_scalar,
    draw_track,
    draw_wheel,
)
from motion_vit.visualization.layer_maps import ClipFrames, LayerMap, MotionMap, ScalarMap

Pictures = Sequence[UInt8[np.ndarray, "h w 3"]]

_INCHES = 4.0
_LEGEND_INCHES = 1.2
_DPI = 100
_GIF_COLORS = 255
# Players and H.264 dislike single frames a second; each picture is shown for several frames of the video.
_FPS = 24


def overlay_pictures(
    clip: ClipFrames, layer_map: LayerMap, *, channel: int = 0, heading: str, point: Point | None = None
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Draws a map over every frame of a clip.

    Args:
      clip: frames in the size of the drawing.
      layer_map: a map with an entry for each frame or pair.
      channel: number of the channel to draw.
      heading: first words above the picture, such as the video's name.
      point: point whose track is drawn, or whose patch is framed where the map is its attention.

    Yields:
      RGB pictures of one even size, one for each frame. Frames without a pair show the last one.
    """
    height, width = clip.view.video_size
    tall = min(1.5 * _INCHES, _INCHES * height / width)
    wide = max(tall * width / height, 1.8)
    figure = Figure(figsize=(wide + _LEGEND_INCHES, tall + 0.75), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes, legend = figure.subplots(1, 2, width_ratios=[wide, _LEGEND_INCHES])
    legend.set_axis_off()
    _draw_legend(layer_map, figure, legend)
    title = f"{layer_map.title}, {layer_map.layer}, {layer_map.channels[channel]}"
    figure.suptitle(f"{heading}\n{title}", fontsize=9, parse_math=False)
    for frame in range(len(clip.frames)):
        axes.clear()
        draw_frame(axes, clip, frame, grey=layer_map.covers_colors)
        axes.set_title(clip.caption(frame), fontsize=8)
        _draw_over(layer_map, axes, channel, frame, point)
        with literal_text(figure):
            canvas.draw()
        if not frame:
            # The places are found once: a layout that moves from frame to frame would tremble.
            figure.set_layout_engine("none")
        picture = np.asarray(canvas.buffer_rgba())[..., :3]
        yield picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2].copy()


def write_gif(pictures: Pictures, path: pathlib.Path, *, seconds: float) -> None:
    """Writes pictures as a GIF that repeats.

    Args:
      pictures: of one size.
      path: the file.
      seconds: duration of each picture.
    """
    # One palette for all pictures, so that a colour of the scale is the same in all of them.
    together = Image.fromarray(np.concatenate(list(pictures)))
    palette = together.quantize(_GIF_COLORS, method=Image.Quantize.FASTOCTREE)
    frames = [
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures
    ]
    duration = round(1000 * seconds)
    with atomic_file(path) as file:
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=duration, loop=0, optimize=True)


def write_mp4(pictures: Pictures, path: pathlib.Path, *, seconds: float) -> None:
    """Writes pictures as an H.264 video.

    Args:
      pictures: of one even size.
      path: the file, ending in `.mp4`.
      seconds: duration of each picture.
    """
    write_video(path, np.repeat(np.stack(pictures), max(1, round(_FPS * seconds)), axis=0), fps=_FPS)


@functools.singledispatch
def _draw_legend(layer_map: LayerMap, figure: Figure, legend: Axes) -> None:
    """Draws what the colours of a map stand for."""
    raise NotImplementedError(type(layer_map))


@_draw_legend.register
def _(layer_map: MotionMap, figure: Figure, legend: Axes) -> None:
    draw_wheel(legend, layer_map)


@_draw_legend.register
def _(layer_map: ScalarMap, figure: Figure, legend: Axes) -> None:
    bar = figure.colorbar(
        color_scale(layer_map.limits, layer_map.color_map),
        cax=legend.inset_axes((0.1, 0.1, 0.15, 0.8)),
        extend="max" if layer_map.exceeds_limits else "neither",
    )
    bar.set_label(layer_map.unit, fontsize=8)
    bar.ax.tick_params(labelsize=8)


@functools.singledispatch
def _draw_over(layer_map: LayerMap, axes: Axes, channel: int, frame: int, point: Point | None) -> None:
    """Draws what belongs to a frame of the clip over it."""
    raise NotImplementedError(type(layer_map))


@_draw_over.register
def _(layer_map: ScalarMap, axes: Axes, channel: int, frame: int, point: Point | None) -> None:
    token_frame = layer_map.grid.token_frames[frame]
    draw_scalar(axes, layer_map, channel, min(token_frame, layer_map.values.shape[1] - 1))
    if point is not None and layer_map.of_point and not token_frame:
        draw_patch(axes, layer_map.grid, layer_map.grid.patch_at(*point))


@_draw_over.register
def _(layer_map: MotionMap, axes: Axes, channel: int, frame: int, point: Point | None) -> None:
    token_frame = layer_map.grid.token_frames[frame]
    first = max(0, -layer_map.field.frame_offset)
    draw_motion(axes, layer_map, channel, int(np.clip(token_frame - first, 0, len(layer_map.pairs) - 1)))
    if point is not None and layer_map.field.frame_offset > 0:
        draw_track(axes, layer_map.track(channel, *point), token_frame)
