"""Maps of a layer for drawing: arrays with their places in the video, units and names.

All lengths are pixels of the upright video, whatever size the model saw it in. Maps of a layer have an entry for each
of its frames or pairs of frames; its `TokenGrid` maps entries to frames of the clip.
"""

import dataclasses
import functools
import math
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from motion_vit.visualization.clip_view import ClipView
from motion_vit.visualization.color_maps import OVERLAY, ColorMap
from motion_vit.visualization.displacement import DisplacementField
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


@dataclasses.dataclass(frozen=True)
class MotionMap:
    """The motion of patches, from a layer's cost volume.

    Attributes:
      layer: name of the layer.
      grid: places of its patches.
      field: displacements, one field for each channel, and their confidence.
      channels: names of the fields: the mean of all heads, then each head.
      volume: affinities, NaN outside of the frame; None if they are left out.
    """

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
class ScalarMap:
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


@dataclasses.dataclass(frozen=True)
class PatchAttention:
    """Attention of every patch to every patch; only small layers have it as a whole.

    Attributes:
      layer: name of the layer.
      grid: places of its patches.
      channels: names of the heads.
      weights: attention of patch `q` to patch `k`, numbered frame by frame and row by row.
    """

    layer: str
    grid: TokenGrid
    channels: tuple[str, ...]
    weights: Float[np.ndarray, "heads q k"]


@dataclasses.dataclass(frozen=True)
class FrameAttention:
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


@dataclasses.dataclass(frozen=True)
class PromptMap:
    """The curve of a motion prompt, from a change of brightness to attention.

    Attributes:
      layer: name of the layer.
      grid: the pixels of the clip.
      curve: attention to each change.
    """

    layer: str
    grid: TokenGrid
    curve: PromptCurve


LayerMap: TypeAlias = MotionMap | ScalarMap | PatchAttention | FrameAttention | PromptMap


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
