"""Writes a visualization as contact sheets, animations, arrays, and a page to explore."""

import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_file, write_text
from motion_vit.files.figure_file import write_figure
from motion_vit.training.checkpoints.whole_folder import check_can_be_made, whole_folder
from motion_vit.visualization.animation import overlay_pictures, write_gif, write_mp4
from motion_vit.visualization.map_sheets import map_sheets
from motion_vit.visualization.requests import choices

if TYPE_CHECKING:
    from motion_vit.visualization.visualization import Visualization

Format = Literal["png", "gif", "mp4", "npz", "html"]
"""Contact sheets, moving pictures in two formats, raw arrays, and a page."""

FORMATS: tuple[Format, ...] = get_args(Format)

DEFAULT_FORMATS: tuple[Format, ...] = ("png", "npz", "html")
"""Contact sheets, arrays, and the page to explore."""

PAGE_FILE = "index.html"
ARRAYS_FILE = "maps.npz"

_SECONDS_A_FRAME = 0.4


def checked_formats(formats: Format | Sequence[Format]) -> tuple[Format, ...]:
    """Checks what is to be written.

    Args:
      formats: one or several of `FORMATS`.

    Returns:
      All of them.

    Raises:
      UserError: it is something else, or nothing.
    """
    checked = choices(formats, "formats", FORMATS)
    if not checked:
        raise UserError(f"formats is empty, so that nothing would be written; it takes {', '.join(FORMATS)}.")
    return checked


def write_folder(
    visualization: "Visualization", folder: str | os.PathLike[str], formats: Sequence[Format]
) -> list[pathlib.Path]:
    """Writes a visualization into a folder, which is there as a whole or not at all.

    Args:
      visualization: maps and frames.
      folder: a new or empty folder.
      formats: kinds of files to write.

    Returns:
      The files.

    Raises:
      UserError: the folder holds something or cannot be made.
    """
    check_can_be_made(folder)
    with whole_folder(folder) as unfinished:
        files = write_files(visualization, unfinished, formats)
    return [pathlib.Path(folder) / file.name for file in files]


def write_files(visualization: "Visualization", folder: pathlib.Path, formats: Sequence[Format]) -> list[pathlib.Path]:
    """Writes a visualization.

    Args:
      visualization: maps and frames.
      folder: an existing folder, whose files of the same names are replaced.
      formats: kinds of files to write.

    Returns:
      The files.
    """
    written = []

    def done(name: str) -> pathlib.Path:
        written.append(folder / name)
        return folder / name

    if "html" in formats:
        write_text(done(PAGE_FILE), visualization.page())
    if "npz" in formats:
        arrays: dict[str, Any] = {**named_arrays(visualization)}
        with atomic_file(done(ARRAYS_FILE)) as file:
            np.savez_compressed(file, **arrays)
    for layer_map in visualization.maps:
        if "png" in formats:
            for title, figure in map_sheets(
                layer_map, visualization.clip, visualization.what, visualization.heading, visualization.point
            ):
                write_figure(figure, done(f"{_file_name(title, layer_map.layer)}.png"))
        moving = {"gif", "mp4"}.intersection(formats)
        if moving and layer_map.covers_frames:
            pictures = list(
                overlay_pictures(
                    visualization.clip, layer_map, heading=visualization.heading, point=visualization.point
                )
            )
            name = _file_name(layer_map.title, layer_map.layer)
            for suffix, write in (("gif", write_gif), ("mp4", write_mp4)):
                if suffix in moving:
                    write(pictures, done(f"{name}.{suffix}"), seconds=_SECONDS_A_FRAME)
    return written


def named_arrays(visualization: "Visualization") -> dict[str, np.ndarray]:
    """Collects the arrays of a visualization by name, as they are written.

    Args:
      visualization: maps and frames.

    Returns:
      For each map, an array named by kind and layer, such as `motion_field/stage3/block0/flow`. `about` is a JSON text:
      the frames of the clip, their times, and for each layer the places of its patches in the video. For a motion field
      it also has the clip's first and second frame of each pair.
    """
    arrays: dict[str, np.ndarray] = {}
    layers: dict[str, dict[str, object]] = {}
    for layer_map in visualization.maps:
        name = f"{_slug(layer_map.title, '_')}/{layer_map.layer}"
        grid = layer_map.grid
        layers[name] = {
            "rows": grid.rows,
            "columns": grid.columns,
            "stride": grid.stride,
            "first_centre": grid.first_centre,
            "clip_frames": grid.clip_frames,
            "channels": layer_map.channels,
            **layer_map.facts(),
        }
        for kind, array in layer_map.arrays().items():
            arrays[f"{name}/{kind}" if kind else name] = array
    view = visualization.clip.view
    about = {
        "video": visualization.video,
        "video_size": view.video_size,
        "frame_numbers": view.frame_numbers,
        "times": view.times,
        "box": view.box,
        "predictions": visualization.predictions,
        "layers": layers,
    }
    return {**arrays, "about": np.array(json.dumps(about))}


def _file_name(title: str, layer: str) -> str:
    return _slug(f"{title} {layer}", "-")


def _slug(text: str, separator: str) -> str:
    return re.sub(r"[^a-z0-9_]+", separator, text.lower()).strip(separator)
