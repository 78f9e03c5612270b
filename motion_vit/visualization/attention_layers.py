"""Converts recorded attention, gates and prompts to maps for drawing."""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from motion_vit.ops.global_attention import attention_weights
from motion_vit.visualization.attention_maps import (
    attended_by,
    attention_row,
    global_layers,
    rollout_from,
    start_weights,
)
from motion_vit.visualization.clip_recording import ClipRecording, Subject
from motion_vit.visualization.color_maps import value_limits
from motion_vit.visualization.layer_maps import (
    FrameAttention,
    LayerMap,
    PatchAttention,
    PromptMap,
    ScalarMap,
)
from motion_vit.visualization.prompt_curve import prompt_curve
from motion_vit.visualization.token_grid import TokenGrid, token_grid

# Entries of all heads' attention of every patch to every patch, up to which a page holds them.
_LARGEST_WEIGHTS = 2**21
# The share of the attention's values that the scale of the colours covers.
_WITHIN_SCALE = 0.99


def attention_layers(
    subject: Subject, recorded: ClipRecording, point: tuple[float, float] | None = None
) -> list[LayerMap]:
    """Makes maps of global attention, attention within windows and over time, gates, attention of frames, and prompts.

    Args:
      subject: model and clip.
      recorded: intermediates of the clip.
      point: (y, x) of the patch in the first frame whose attention is shown; None for none.

    Returns:
      Maps; for small layers also the attention of every patch.
    """
    maps: list[LayerMap] = []
    for stage, layers in global_layers(list(recorded.maps)).items():
        maps += _global_attention(subject, recorded.maps, stage, layers, point)
    for name, values in recorded.maps.items():
        maps += _frame_maps(subject, name, values)
    return maps


def _global_attention(
    subject: Subject, found: Mapping[str, np.ndarray], stage: str, layers: list[str], point: tuple[float, float] | None
) -> list[LayerMap]:
    """Makes maps of a stage's attention: the mean or the class token's, a patch's, and the rollout."""
    first = f"{layers[0]}/query"
    grid = token_grid(subject.model, first, subject.view)
    class_tokens = subject.model.token_layout(first, subject.inputs.shape[1:]).class_tokens
    queries, keys = ([jnp.asarray(found[f"{layer}/{part}"]) for layer in layers] for part in ("query", "key"))
    batch, tokens = queries[0].shape[:2]
    start = jnp.broadcast_to(start_weights(tokens - class_tokens, class_tokens), (batch, tokens))
    title = "Attention of the class token" if class_tokens else "Attention that patches get"

    def in_grid(rows: Float[Array, "batch channels tokens"]) -> np.ndarray:
        # As parts of what every token would get if all got the same.
        patches = np.asarray(rows, np.float32)[..., class_tokens:] * tokens
        frames = patches.reshape(batch, rows.shape[1], -1, grid.rows, grid.columns)
        return np.concatenate(list(frames), axis=1)

    maps: list[LayerMap] = []
    for layer, query, key in zip(layers, queries, keys, strict=True):
        each = in_grid(_attended_by(start, query, key))
        maps.append(_scalar(title, layer, grid, each))
        if point is not None:
            row, column = grid.patch_at(*point)
            row_of_weights = attention_row(query, key, class_tokens + row * grid.columns + column)
            of_patch = _scalar("Attention of the chosen patch", layer, grid, in_grid(row_of_weights))
            maps.append(dataclasses.replace(of_patch, of_point=True))
        if not class_tokens and query.shape[2] * tokens**2 <= _LARGEST_WEIGHTS:
            weights = np.asarray(attention_weights(query, key), np.float32)[0]
            heads = tuple(f"head {head + 1}" for head in range(len(weights)))
            maps.append(PatchAttention(layer.removesuffix("/attention"), grid, heads, weights))
    together = in_grid(_rollout(start, tuple(queries), tuple(keys))[:, None])
    maps.append(_scalar("Attention rollout", stage, grid, together, ("all layers",)))
    return maps


_attended_by = jax.jit(attended_by)
_rollout = jax.jit(rollout_from)


def _frame_maps(subject: Subject, name: str, values: np.ndarray) -> list[LayerMap]:
    """Makes maps of attention within windows and over time, gates, attention of frames, and prompts."""
    make_grid = functools.partial(token_grid, subject.model, view=subject.view)
    layer = name.rsplit("/", 1)[0]
    if name.endswith("/temporal_attention/attention_weights"):
        heads = tuple(f"head {head + 1}" for head in range(values.shape[1]))
        return [FrameAttention("Attention over time", layer, make_grid(name), heads, np.swapaxes(values, 0, 1))]
    if name.endswith("/attention_received"):
        of_heads = np.moveaxis(values[0], -1, 0)
        return [_scalar("Attention that patches get in their windows", layer, make_grid(name), of_heads)]
    if name.endswith("/frame_attention"):
        return [FrameAttention("M2A attention of frames", layer, make_grid(name), ("whole frames",), values[None])]
    if name.endswith("/gate"):
        return [_scalar("M2A gate", layer, make_grid(name), values, ("mean of channels",), unit="gate, 0 to 1")]
    if name.endswith("attention_map"):
        prompt = _scalar("Motion prompt", layer, make_grid(name), values, ("every pixel",), unit="attention, 0 to 1")
        return [prompt, PromptMap(layer, prompt.grid, prompt_curve(subject.model, subject.variables))]
    return []


def _scalar(
    title: str,
    layer: str,
    grid: TokenGrid,
    values: Float[np.ndarray, "channels t h w"],
    channels: tuple[str, ...] | None = None,
    unit: str = "attention; 1 is an equal share",
) -> ScalarMap:
    """Makes a map of attention; the mean of several heads comes first."""
    if channels is None:
        channels = ("mean of heads", *(f"head {head + 1}" for head in range(len(values))))
        values = np.concatenate([values.mean(axis=0, keepdims=True), values])
    # A few patches get many times more than all others, which would be dark beside them.
    limits = (0.0, 1.0) if "0 to 1" in unit else (0.0, value_limits(values, share=_WITHIN_SCALE)[1])
    return ScalarMap(title, layer.removesuffix("/attention"), grid, channels, "Head", values, unit, limits)
