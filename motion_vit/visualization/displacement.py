"""Displacement fields of cost volumes, with their confidence.

`motion_vit.ops.displacement` describes how a field is computed from affinities.

Flows are `(x, y)`, to the right and down, as in the `.flo` files of the Middlebury benchmark.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.frame_offset import frame_offset
from motion_vit.models.video_model import VideoModel
from motion_vit.ops import cost_volume as cost_volumes
from motion_vit.ops import frame_pairs
from motion_vit.ops.displacement import CostVolume, HeadChoice, displacement_weights, mean_displacement, window_of
from motion_vit.ops.window_geometry import inside_image
from motion_vit.visualization import recording
from motion_vit.visualization.token_grid import TokenGrid


@functools.partial(jax.tree_util.register_dataclass, data_fields=["flow", "confidence"], meta_fields=["frame_offset"])
@dataclasses.dataclass(frozen=True)
class DisplacementField:
    """The displacement of every patch of the first frame of every frame pair.

    Attributes:
      flow: `[..., n, h, w, 2]`, to the right and down, in tokens: a patch at a place in frame `t` is found at that
        place plus its flow in frame `t + frame_offset`.
      confidence: `[..., n, h, w]`, from 0 (all displacements are equally likely) to 1 (one is certain).
      frame_offset: frames of tokens from the first to the second frame of a pair; negative for pairs with earlier ones.
    """

    flow: Float[Array, "*shape 2"]
    confidence: Float[Array, "*shape"]
    frame_offset: int = 1

    def in_pixels(self, grid: TokenGrid) -> np.ndarray:
        """Converts the flow to pixels of the video, over the time between the frames of a pair: float32 `[..., 2]`."""
        return np.asarray(self.flow, np.float32) * np.asarray([grid.stride[1], grid.stride[0]], np.float32)

    def frame_pairs(self, grid: TokenGrid) -> list[tuple[int, int]]:
        """Returns the video's frame numbers of the first and second frame of each pair."""
        first = max(0, -self.frame_offset)
        numbers = [grid.frame_numbers[frame] for frame in grid.clip_frames]
        count = len(numbers) - abs(self.frame_offset)
        return [(numbers[first + pair], numbers[first + pair + self.frame_offset]) for pair in range(count)]


def displacement_field(
    cost_volume: CostVolume, *, temperature: float = 1.0, heads: HeadChoice = "mean", frame_offset: int = 1
) -> DisplacementField:
    """Computes the displacement field of a cost volume.

    It can run inside a compiled program, so that only the field of a long clip is kept.

    Args:
      cost_volume: affinities, of EMIM's intermediate `cost_volume` or of `patch_feature_cost_volume`.
      temperature: divisor of the affinities before the softmax: 1 for the model's own, less for sharper fields.
      heads: "mean", "each" or the number of a head.
      frame_offset: the model's `frame_offset`, negative for `cost_volume_backward`.

    Returns:
      Flow `[b, n, h, w, 2]` and confidence `[b, n, h, w]`; with heads "each" `[b, heads, n, h, w, ...]`.

    Raises:
      UserError: the temperature is not positive, or the layer does not have the head.
    """
    flow, confidence = mean_displacement(displacement_weights(cost_volume, temperature=temperature, heads=heads))
    return DisplacementField(flow, confidence, frame_offset)


def patch_affinity(cost_volume: CostVolume, row: int | Array, column: int | Array) -> Float[Array, "b n heads k k"]:
    """Selects the affinities of one patch with its neighbourhood, for every frame pair and head.

    It can run inside a compiled program, so that only this patch of a long clip is kept:

        transform = jax.tree_util.Partial(patch_affinities, row, column)
        record(model, variables, clips, ["*/cost_volume"], transform=transform)

    Args:
      cost_volume: see `displacement_field`.
      row: row of the patch.
      column: column of the patch.

    Returns:
      Affinities, by displacement down and to the right; NaN for those that leave the image.
    """
    window = window_of(cost_volume)
    inside = jnp.asarray(inside_image(cost_volume.shape[2], cost_volume.shape[3], window))[row, column]
    affinity = cost_volume[:, :, row, column].astype(jnp.float32)
    affinity = jnp.where(inside[None, None, None], affinity, jnp.nan)
    return affinity.reshape(*affinity.shape[:-1], window, window)


def patch_affinities(row: int | Array, column: int | Array, maps: dict[str, Array]) -> dict[str, Array]:
    """Applies `patch_affinity` to every cost volume of a mapping, as a transform of `recording.record`."""
    return {name: patch_affinity(volume, row, column) for name, volume in maps.items()}


def record_displacements(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array, "b t h w 3"],
    patterns: Sequence[str] = ("*/cost_volume",),
    *,
    temperature: float = 1.0,
    heads: HeadChoice = "mean",
) -> dict[str, DisplacementField]:
    """Records the displacement fields of a model's EMIM layers, without keeping the cost volumes.

    Args:
      model: a model with EMIM.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips.
      patterns: names of cost volumes, or patterns of them.
      temperature: see `displacement_field`.
      heads: see `displacement_field`.

    Returns:
      Fields by the name of their cost volume.

    Raises:
      UserError: the model has no such cost volume.
    """
    reader = _FieldReader(temperature, heads, frame_offset(model))
    return recording.record(model, variables, clips, patterns, transform=reader).maps


@dataclasses.dataclass(frozen=True)
class _FieldReader:
    """Converts cost volumes to fields; equal readers are the same transform to the compiler."""

    temperature: float
    heads: HeadChoice
    frame_offset: int

    def __call__(self, maps: dict[str, Array]) -> dict[str, DisplacementField]:
        return {name: self._read(volume, backward=name.endswith("_backward")) for name, volume in maps.items()}

    def _read(self, volume: CostVolume, *, backward: bool) -> DisplacementField:
        offset = -self.frame_offset if backward else self.frame_offset
        return displacement_field(volume, temperature=self.temperature, heads=self.heads, frame_offset=offset)


def patch_feature_cost_volume(features: Float[Array, "b t h w c"], window: int, *, frame_offset: int = 1) -> CostVolume:
    """Computes a baseline cost volume: the similarity of each patch's features with its neighbourhood in another frame.

    Args:
      features: of patches: tokens, or pixels as from `pixel_patches`.
      window: side `K` of the neighbourhood, odd.
      frame_offset: distance to the other frame, negative for an earlier one.

    Returns:
      Cosines of the features, after subtracting their mean over the channels, from -1 to 1, as the cost volume of one
      head.

    Raises:
      UserError: the window is even, or the clip has fewer frames than a pair needs.
    """
    if window < 1 or window % 2 == 0:
        raise UserError(f"the window must be an odd number, so that it has a centre; given {window}")
    if features.shape[1] <= abs(frame_offset):
        raise UserError(
            f"frames that are {abs(frame_offset)} apart need a clip of more than that; given {features.shape[1]}"
        )
    centred = features.astype(jnp.float32)
    centred = centred - jnp.mean(centred, axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.sum(jnp.square(centred), axis=-1, keepdims=True))
    unit = (centred / jnp.maximum(length, 1e-6))[..., None, :]
    query, key, _ = frame_pairs.pair_frames(unit, unit, unit, offset=frame_offset)
    # The operator divides products by the root of the number of channels.
    return cost_volumes.cost_volume(query * features.shape[-1] ** 0.5, key, window=window)


def pixel_patches(clips: Float[Array, "b t h w 3"], side: int) -> Float[Array, "b t h2 w2 c"]:
    """Arranges the pixels of square patches as features, row by row.

    Args:
      clips: at least one patch large.
      side: height and width of a patch. A remainder at the lower and right edge is left out.

    Returns:
      Features `[b, t, h // side, w // side, side * side * 3]`.
    """
    batch, frames, height, width, channels = clips.shape
    rows, columns = height // side, width // side
    cut = clips[:, :, : rows * side, : columns * side]
    patches = cut.reshape(batch, frames, rows, side, columns, side, channels)
    return jnp.moveaxis(patches, 3, 4).reshape(batch, frames, rows, columns, side * side * channels)
