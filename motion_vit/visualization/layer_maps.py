"""Maps of a layer for drawing: arrays with their places in the video, units and names.

All lengths are pixels of the upright video, whatever size the model saw it in. Maps of a layer have an entry for each
of its frames or pairs of frames; its `TokenGrid` maps entries to frames of the clip.
"""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, UInt8

from motion_vit.visualization.clip_view import ClipView
from motion_vit.visualization.color_maps import OVERLAY, ColorMap
from motion_vit.visualization.displacement import DisplacementField
from motion_vit.visualization.packed_array import pack_array, pack_rows
from motion_vit.visualization.point_tracks import follow
from motion_vit.visualization.prompt_curve import PromptCurve
from motion_vit.visualization.token_grid import TokenGrid

# The share of speeds that the scale of the colours covers, and its least value in pixels.
_HARDLY_EXCEEDED = 0.99
_LEAST_SCALE = 1e-3
# Mean confidence below which a field is that of a softmax that is all but flat.
_NEARLY_EVEN = 0.02


@dataclasses.dataclass(frozen=True)
class ClipFrames:
    """The frames of a video that a model saw, for drawing.

    Attributes:
      frames: RGB, in the shape of the video; scaled down for large videos.
      view: place of the frames in the video.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    view: ClipView

    def caption(self, frame: int) -> str:
        """Describes a frame of the clip in words."""
        time = "" if self.view.times is None else f", {self.view.times[frame]:.2f} s"
        return f"frame {self.view.frame_numbers[frame]}{time}"


class LayerMap:
    """A map of a layer, to be drawn, written and shown on a page.

    Attributes:
      title: what it shows, in words.
      layer: name of the layer.
      grid: its patches.
      channels: names of its channels, such as heads or classes; () for a map that has no such thing.
      covers_frames: whether it can be laid over every frame of the clip, for moving pictures.
      covers_colors: whether the colours of what it is laid over would be mistaken for its own.
    """

    title: str
    layer: str
    grid: TokenGrid
    channels: tuple[str, ...]
    covers_frames: ClassVar[bool] = False
    covers_colors: ClassVar[bool] = False

    def arrays(self) -> dict[str, np.ndarray]:
        """Lists its arrays, as they are written; a single one under the name ""."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Says what must be known of its arrays, besides grid and channels; for JSON."""
        return {}

    def page_entry(self) -> dict[str, Any]:
        """Says what a page shows of it, for JSON: `shown_as` holds names of lists and kinds of pictures."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class MotionMap(LayerMap):
    """The motion of patches, from a layer's cost volume.

    Attributes:
      layer: name of the layer.
      grid: places of its patches.
      field: displacements, one field for each channel, and their confidence.
      channels: names of the fields: the mean of all heads, then each head.
      volume: affinities, NaN outside of the frame; None if they are left out.
    """

    title = "motion field"
    covers_frames: ClassVar[bool] = True

    layer: str
    grid: TokenGrid
    field: DisplacementField
    channels: tuple[str, ...]
    volume: Float[np.ndarray, "n h w heads k2"] | None = None

    @functools.cached_property
    def flow(self) -> Float[np.ndarray, "channels n h w 2"]:
        """Motion (x, y) from frame to frame of each pair, in pixels of the video."""
        return self.field.in_pixels(self.grid)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The clip's first and second frame of each pair."""
        frames, offset = self.grid.clip_frames, self.field.frame_offset
        first = max(0, -offset)
        return tuple((frames[n], frames[n + offset]) for n in range(first, first + self.flow.shape[1]))

    @property
    def window(self) -> int:
        """Side of the neighbourhood in patches; 0 without affinities."""
        return 0 if self.volume is None else math.isqrt(self.volume.shape[-1])

    @functools.cached_property
    def greatest(self) -> float:
        """The speed of the edge of the colour wheel, which few patches of any channel exceed."""
        speed = np.hypot(self.flow[..., 0], self.flow[..., 1])
        known = speed[np.isfinite(speed)]
        return max(float(np.quantile(known, _HARDLY_EXCEEDED)), _LEAST_SCALE) if known.size else _LEAST_SCALE

    @property
    def is_nearly_even(self) -> bool:
        """True if the mean over the heads hardly distinguishes displacements."""
        return bool(np.nanmean(np.asarray(self.field.confidence[0])) < _NEARLY_EVEN)

    @property
    def confidence_map(self) -> "ScalarMap":
        """Makes a map of the fields' confidence."""
        return ScalarMap(
            title="Confidence",
            layer=self.layer,
            grid=self.grid,
            channels=self.channels,
            channel_name="Head",
            values=np.asarray(self.field.confidence, np.float32),
            unit="confidence",
            limits=(0.0, 1.0),
            color_map="viridis",
        )

    @property
    def unit(self) -> str:
        """Unit of `flow`."""
        first, second = self.pairs[0]
        if self.grid.times is None:
            apart = abs(self.grid.frame_numbers[second] - self.grid.frame_numbers[first])
            return f"pixels in {apart} frame{'s' * (apart > 1)}"
        return f"pixels in {abs(self.grid.times[second] - self.grid.times[first]):.2f} s"

    def arrays(self) -> dict[str, np.ndarray]:
        """Lists flow, confidence and, if they are there, affinities."""
        known = {"flow": self.flow, "confidence": np.asarray(self.field.confidence)}
        return known if self.volume is None else {**known, "cost_volume": self.volume}

    def facts(self) -> dict[str, Any]:
        """Says which frames are paired, and the unit."""
        return {"pairs": self.pairs, "unit": self.unit}

    def page_entry(self) -> dict[str, Any]:
        """Says the field and, if they are there, the affinities."""
        field = {
            "shown_as": [("Motion field", "field")],
            "entries": self.flow.shape[1],
            "pairs": [list(pair) for pair in self.pairs],
            "step": self.field.frame_offset,
            "flow": pack_array(self.flow, bits=16),
            "confidence": pack_array(np.asarray(self.field.confidence, np.float32)),
            "greatest": self.greatest,
            "unit": self.unit,
        }
        if self.volume is None:
            return field
        volume = {"window": self.window, "volume": pack_rows(self.volume)}
        return {**field, **volume, "shown_as": [("Motion field", "field"), ("Cost volume", "volume")]}

    def track(self, channel: int, y: float, x: float, *, first_frame: int = 0) -> Float[np.ndarray, "t 2"]:
        """Follows a point, see `motion_vit.visualization.point_tracks.follow`.

        Args:
          channel: number of the field.
          y: row of the start, in pixels of the video.
          x: column of the start, in pixels of the video.
          first_frame: frame of tokens that the track starts in.

        Returns:
          (y, x) for each frame of tokens; NaN where the point is out of sight.
        """
        of_channel = dataclasses.replace(
            self.field, flow=self.field.flow[channel], confidence=self.field.confidence[channel]
        )
        return follow(of_channel, np.asarray([y, x]), self.grid, first_frame=first_frame)


@dataclasses.dataclass(frozen=True)
class ScalarMap(LayerMap):
    """A value for each patch: received attention, evidence for a class, a gate.

    Attributes:
      title: meaning of the values, such as "Grad-CAM".
      layer: name of the layer.
      grid: places of its patches.
      channels: names of the maps: heads, classes.
      channel_name: kind of the channels: "Head", "Class".
      values: numbers; NaN for missing ones.
      unit: unit of the values.
      limits: values of the first and the last colour.
      color_map: the colours.
      of_point: whether the values are of the chosen patch, in the first frame of the layer.
    """

    covers_frames: ClassVar[bool] = True
    covers_colors: ClassVar[bool] = True

    title: str
    layer: str
    grid: TokenGrid
    channels: tuple[str, ...]
    channel_name: str
    values: Float[np.ndarray, "channels n h w"]
    unit: str
    limits: tuple[float, float]
    color_map: ColorMap = OVERLAY
    of_point: bool = False

    @property
    def exceeds_limits(self) -> bool:
        """True if the last colour also stands for greater values."""
        return bool((self.values > self.limits[1]).any())

    def arrays(self) -> dict[str, np.ndarray]:
        """Lists its numbers."""
        return {"": self.values}

    def page_entry(self) -> dict[str, Any]:
        """Says its numbers and colours."""
        return {
            "shown_as": [(self.title, "scalar")],
            "channelName": self.channel_name,
            "entries": self.values.shape[1],
            "values": pack_array(self.values),
            "limits": list(self.limits),
            "unit": self.unit,
            "exceeded": self.exceeds_limits,
            "colors": self.color_map,
        }


@dataclasses.dataclass(frozen=True)
class PatchAttention(LayerMap):
    """Attention of every patch to every patch; only small layers have it as a whole.

    Attributes:
      layer: name of the layer.
      grid: places of its patches.
      channels: names of the heads.
      weights: attention of patch `q` to patch `k`, numbered frame by frame and row by row.
    """

    title = "attention of patches"

    layer: str
    grid: TokenGrid
    channels: tuple[str, ...]
    weights: Float[np.ndarray, "heads q k"]

    def arrays(self) -> dict[str, np.ndarray]:
        """Lists its weights."""
        return {"": self.weights}

    def page_entry(self) -> dict[str, Any]:
        """Says its weights, of which the page shows those of one patch."""
        return {"shown_as": [("Attention of a patch", "attention")], "weights": pack_rows(self.weights)}


@dataclasses.dataclass(frozen=True)
class FrameAttention(LayerMap):
    """Attention of every frame to every frame.

    Attributes:
      title: kind of the attention.
      layer: name of the layer.
      grid: patches with their own attention; a grid of one patch where whole frames attend.
      channels: names of the heads.
      values: attention of frame `t` to frame `u` of each patch.
    """

    title: str
    layer: str
    grid: TokenGrid
    channels: tuple[str, ...]
    values: Float[np.ndarray, "heads places t u"]

    def arrays(self) -> dict[str, np.ndarray]:
        """Lists its numbers."""
        return {"": self.values}

    def page_entry(self) -> dict[str, Any]:
        """Says its numbers, as tables."""
        return {
            "shown_as": [(self.title, "matrix")],
            "values": pack_array(self.values),
            "limits": [0.0, float(self.values.max())],
            "unit": "attention of a frame to a frame; a row adds up to 1",
            "ofPatches": self.values.shape[1] > 1,
        }


@dataclasses.dataclass(frozen=True)
class PromptMap(LayerMap):
    """The curve of a motion prompt, from a change of brightness to attention.

    Attributes:
      layer: name of the layer.
      grid: the pixels of the clip.
      curve: attention to each change.
    """

    title = "motion prompt curve"
    channels = ()

    layer: str
    grid: TokenGrid
    curve: PromptCurve

    def arrays(self) -> dict[str, np.ndarray]:
        """Lists changes and their attention."""
        return {"curve": np.stack([self.curve.change, self.curve.attention])}

    def page_entry(self) -> dict[str, Any]:
        """Says the curve and its parameters."""
        return {
            "shown_as": [("Slope and shift", "curve")],
            "change": pack_array(self.curve.change, bits=16),
            "attention": pack_array(self.curve.attention, bits=16),
            "slope": self.curve.slope,
            "shift": self.curve.shift,
        }


def softmax_window(affinity: Float[np.ndarray, "*rows k2"]) -> Float[np.ndarray, "*rows k2"]:
    """Computes a softmax over the entries of a neighbourhood that lie within the frame.

    Args:
      affinity: affinities, NaN outside of the frame.

    Returns:
      Shares that add up to 1, NaN outside of the frame.
    """
    powers = np.exp(affinity - np.nanmax(affinity, axis=-1, keepdims=True))
    shares: Float[np.ndarray, "*rows k2"] = powers / np.nansum(powers, axis=-1, keepdims=True)
    return shares
