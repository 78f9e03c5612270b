"""Writes a visualization as contact sheets, animations, arrays, and a page to explore."""

import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from matplotlib.figure import Figure

from motion_vit.visualization.animation import overlay_pictures, write_gif, write_mp4
from motion_vit.visualization.contact_sheets import motion_sheet, scalar_sheet
from motion_vit.visualization.html_page import html_page
from motion_vit.visualization.layer_maps import (
    FrameAttention,
    LayerMap,
    MotionMap,
    PatchAttention,
    PromptMap,
    ScalarMap,
)
from motion_vit.visualization.tables import cost_volume_sheet, frame_attention_sheet, prompt_sheet
from motion_vit.visualization.visualize import Visualization

Format = Literal["png", "gif", "mp4", "npz", "html"]
"""Contact sheets, moving pictures in two formats, raw arrays, and a page."""

FORMATS: tuple[Format, ...] = get_args(Format)

PAGE_FILE = "index.html"
ARRAYS_FILE = "maps.npz"

_SECONDS_A_FRAME = 0.4


def write_files(visualization: Visualization, folder: pathlib.Path, formats: Sequence[Format]) -> list[pathlib.Path]:
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
        done(PAGE_FILE).write_text(_page(visualization), encoding="utf-8")
    if "npz" in formats:
        arrays: dict[str, Any] = {**named_arrays(visualization)}
        np.savez_compressed(done(ARRAYS_FILE), **arrays)
    for layer_map in visualization.maps:
        if "png" in formats:
            for name, figure in _sheets(visualization, layer_map):
                figure.savefig(done(f"{name}.png"))
        moving = {"gif", "mp4"}.intersection(formats)
        if moving and isinstance(layer_map, MotionMap | ScalarMap):
            pictures = list(
                overlay_pictures(
                    visualization.clip, layer_map, heading=visualization.heading, point=visualization.point
                )
            )
            name = _file_name(_title(layer_map), layer_map.layer)
            for suffix, write in (("gif", write_gif), ("mp4", write_mp4)):
                if suffix in moving:
                    write(pictures, done(f"{name}.{suffix}"), seconds=_SECONDS_A_FRAME)
    return written


def named_arrays(visualization: Visualization) -> dict[str, np.ndarray]:
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
        name = f"{_slug(_title(layer_map), '_')}/{layer_map.layer}"
        grid = layer_map.grid
        layers[name] = {
            "rows": grid.rows,
            "columns": grid.columns,
            "stride": grid.stride,
            "first_centre": grid.first_centre,
            "clip_frames": grid.clip_frames,
            "channels": () if isinstance(layer_map, PromptMap) else layer_map.channels,
        }
        if isinstance(layer_map, MotionMap):
            layers[name] |= {"pairs": layer_map.pairs, "unit": layer_map.unit}
            arrays[f"{name}/flow"] = layer_map.flow
            arrays[f"{name}/confidence"] = np.asarray(layer_map.field.confidence)
            if layer_map.volume is not None:
                arrays[f"{name}/cost_volume"] = layer_map.volume
        elif isinstance(layer_map, PromptMap):
            arrays[f"{name}/curve"] = np.stack([layer_map.curve.change, layer_map.curve.attention])
        elif isinstance(layer_map, PatchAttention):
            arrays[name] = layer_map.weights
        else:
            arrays[name] = layer_map.values
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


def _sheets(visualization: Visualization, layer_map: LayerMap) -> list[tuple[str, Figure]]:
    """Makes the contact sheets of a map, with their names."""
    clip, heading, point = visualization.clip, visualization.heading, visualization.point
    name = _file_name(_title(layer_map), layer_map.layer)
    if isinstance(layer_map, MotionMap):
        sheets = []
        if "motion" in visualization.what:
            sheets.append((name, motion_sheet(clip, layer_map, heading=heading, point=point)))
        if "cost_volume" in visualization.what and layer_map.volume is not None:
            sheet = cost_volume_sheet(clip, layer_map, heading=heading, point=point)
            sheets.append((_file_name("cost volume", layer_map.layer), sheet))
        return sheets
    if isinstance(layer_map, ScalarMap):
        return [(name, scalar_sheet(clip, layer_map, heading=heading, point=point))]
    if isinstance(layer_map, FrameAttention):
        return [(name, frame_attention_sheet(layer_map, heading=heading, point=point))]
    if isinstance(layer_map, PromptMap):
        return [(name, prompt_sheet(layer_map, heading=heading))]
    return []


def _page(visualization: Visualization) -> str:
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in visualization.predictions) or "no class"
    return html_page(
        visualization.clip,
        visualization.maps,
        title=visualization.video,
        subtitle=visualization.model,
        predictions=f"This clip looks like: {shares}",
        notes=visualization.notes,
        point=visualization.point,
    )


def _title(layer_map: LayerMap) -> str:
    if isinstance(layer_map, MotionMap):
        return "motion field"
    if isinstance(layer_map, PatchAttention):
        return "attention of patches"
    return "motion prompt curve" if isinstance(layer_map, PromptMap) else layer_map.title


def _file_name(title: str, layer: str) -> str:
    return _slug(f"{title} {layer}", "-")


def _slug(text: str, separator: str) -> str:
    return re.sub(r"[^a-z0-9_]+", separator, text.lower()).strip(separator)
