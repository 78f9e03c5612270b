"""A self-contained HTML page of a video: frames, maps of layers, and patches to pick.

The page is plain JavaScript: the files in the folder `page`, assembled with the content as JSON.
"""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from motion_vit.outside_text import visible
from motion_vit.visualization.color_maps import DIVERGING, OVERLAY, SEQUENTIAL, color_table
from motion_vit.visualization.flow_colors import color_wheel
from motion_vit.visualization.layer_maps import ClipFrames, LayerMap
from motion_vit.visualization.page_assembly import assemble_page
from motion_vit.visualization.token_grid import TokenGrid

LARGEST_PAGE = 15 * 2**20
"""Characters that a page may have; large arrays are left out, and the page says so."""

_SCRIPTS = (
    "packed_arrays.js",
    "theme.js",
    "colors.js",
    "drawing.js",
    "motion.js",
    "kinds.js",
    "address.js",
    "picture_file.js",
    "overview.js",
    "viewer.js",
)
# Frames of large videos are scaled down to this longer side.
_LONGEST_SIDE = 480
_JPEG_QUALITY = 80
_MILLISECONDS_A_FRAME = 400


def html_page(
    clip: ClipFrames,
    maps: Sequence[LayerMap],
    *,
    title: str,
    subtitle: str = "",
    predictions: str = "",
    notes: Sequence[str] = (),
    point: tuple[float, float] | None = None,
    largest: int = LARGEST_PAGE,
) -> str:
    """Makes the page.

    Args:
      clip: frames in the size of the drawing.
      maps: content of the page, in the order of its lists.
      title: of the page.
      subtitle: a line below it, such as the model.
      predictions: a line with the model's predictions.
      notes: sentences at the end of the page.
      point: (y, x) of the point that is selected at first; None for none.
      largest: limit of the page in characters. Beyond it, `PatchAttention`, the affinities of `MotionMap` and the
        tables of single patches of `FrameAttention` are left out, the largest first, and a note says so.

    Returns:
      The text of the file.
    """
    layers = [_layer(layer_map) for layer_map in maps]
    frames = [_data_url(frame) for frame in clip.frames]
    omitted = _shrink(layers, largest - sum(map(len, frames)))
    layers = [layer for layer in layers if layer]
    height, width = clip.view.video_size
    content: dict[str, Any] = {
        "title": visible(title),
        "subtitle": visible(subtitle),
        "predictions": visible(predictions),
        "notes": [visible(note) for note in (*notes, *omitted)],
        "video": {
            "width": width,
            "height": height,
            "frames": frames,
            "times": clip.view.times or [None] * len(frames),
            "milliseconds": _MILLISECONDS_A_FRAME,
        },
        "point": None if point is None else {"y": point[0], "x": point[1]},
        "tables": {
            SEQUENTIAL: _base64(color_table(SEQUENTIAL)),
            OVERLAY: _base64(color_table(OVERLAY)),
            DIVERGING: _base64(color_table(DIVERGING)),
            "wheel": _base64(color_wheel()),
        },
        "layers": layers,
        "maps": _map_list(layers),
    }
    return assemble_page("page.html", ["style.css"], _SCRIPTS, title=title, content=content)


def _map_list(layers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lists the maps of the page: name, kind and the numbers of the layers."""
    found: dict[str, dict[str, Any]] = {}
    for number, layer in enumerate(layers):
        for name, kind in layer["shown_as"]:
            found.setdefault(name, {"name": name, "kind": kind, "layers": []})["layers"].append(number)
    return list(found.values())


def _layer(layer_map: LayerMap) -> dict[str, Any]:
    """Converts a layer for JSON."""
    common = {
        "name": visible(layer_map.layer),
        "grid": _grid(layer_map.grid),
        "frames": list(layer_map.grid.clip_frames),
        "tokenFrames": list(layer_map.grid.token_frames),
        "entries": layer_map.grid.frames,
        "channels": [visible(channel) for channel in layer_map.channels] or [""],
        "channelName": "Head",
    }
    return {**common, **layer_map.page_entry()}


def _grid(grid: TokenGrid) -> dict[str, Any]:
    top, left = grid.centre(-0.5, -0.5)
    seen = dict(zip(("top", "left", "height", "width"), grid.box, strict=True))
    stride_y, stride_x = grid.stride
    return {
        "top": top,
        "left": left,
        "strideY": stride_y,
        "strideX": stride_x,
        "rows": grid.rows,
        "columns": grid.columns,
        "seen": seen,
    }


def _shrink(layers: list[dict[str, Any]], room: int) -> list[str]:
    """Drops the largest arrays until the layers fit, and empties layers without any left; returns notes about them."""
    sizes = [len(json.dumps(layer)) for layer in layers]
    excess = sum(sizes) - room
    notes = []
    for number in sorted(range(len(layers)), key=lambda number: -sizes[number]):
        layer = layers[number]
        if excess <= 0:
            break
        if "volume" in layer:
            del layer["volume"], layer["window"]
            layer["shown_as"] = [("Motion field", "field")]
            notes.append(f"Left out, to keep the page small: the cost volume of {layer['name']}.")
        elif "weights" in layer:
            notes.append(f"Left out, to keep the page small: the attention of single patches of {layer['name']}.")
            layer.clear()
        elif layer.get("ofPatches"):
            notes.append(f"Left out, to keep the page small: the attention over time of {layer['name']}.")
            layer.clear()
        else:
            continue
        excess -= sizes[number] - len(json.dumps(layer))
    return notes


def _data_url(frame: UInt8[np.ndarray, "h w 3"]) -> str:
    height, width, _ = frame.shape
    shrink = min(1.0, _LONGEST_SIDE / max(height, width))
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
