"""The contact sheets of a map, by its class."""

import functools
from collections.abc import Sequence

from matplotlib.figure import Figure

from motion_vit.visualization.contact_sheets import Point, motion_sheet, scalar_sheet
from motion_vit.visualization.layer_maps import (
    ClipFrames,
    FrameAttention,
    LayerMap,
    MotionMap,
    PromptMap,
    ScalarMap,
)
from motion_vit.visualization.tables import cost_volume_sheet, frame_attention_sheet, prompt_sheet

Sheets = list[tuple[str, Figure]]


@functools.singledispatch
def map_sheets(layer_map: LayerMap, clip: ClipFrames, what: Sequence[str], heading: str, point: Point) -> Sheets:
    """Draws what there is to see of a map.

    Args:
      layer_map: a map of one of the kinds in `layer_maps`.
      clip: frames in the size of the drawing.
      what: what was asked for, of `motion_vit.visualization.clip_recording.What`.
      heading: the first words above the pictures.
      point: (y, x) of the chosen patch in pixels of the video.

    Returns:
      Titles and sheets; [] of maps that only a page shows.
    """
    return []


@map_sheets.register
def _(layer_map: MotionMap, clip: ClipFrames, what: Sequence[str], heading: str, point: Point) -> Sheets:
    sheets = []
    if "motion" in what:
        sheets.append((layer_map.title, motion_sheet(clip, layer_map, heading=heading, point=point)))
    if "cost_volume" in what and layer_map.volume is not None:
        sheets.append(("cost volume", cost_volume_sheet(clip, layer_map, heading=heading, point=point)))
    return sheets


@map_sheets.register
def _(layer_map: ScalarMap, clip: ClipFrames, what: Sequence[str], heading: str, point: Point) -> Sheets:
    return [(layer_map.title, scalar_sheet(clip, layer_map, heading=heading, point=point))]


@map_sheets.register
def _(layer_map: FrameAttention, clip: ClipFrames, what: Sequence[str], heading: str, point: Point) -> Sheets:
    return [(layer_map.title, frame_attention_sheet(layer_map, heading=heading, point=point))]


@map_sheets.register
def _(layer_map: PromptMap, clip: ClipFrames, what: Sequence[str], heading: str, point: Point) -> Sheets:
    return [(layer_map.title, prompt_sheet(layer_map, heading=heading))]
