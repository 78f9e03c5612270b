"""Maps of attention: from one token, and through all layers together (attention rollout).

The weights of all pairs of tokens are quadratic in the length of a clip. The functions here that are transforms of
`motion_vit.visualization.recording.record` compute the requested rows from `query` and `key`, and never hold all
weights.

Source of the rollout: Abnar and Zuidema, "Quantifying attention flow in transformers" (arXiv 2005.00928).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.ops import global_attention
from motion_vit.visualization import recording
from motion_vit.visualization.token_grid import TokenGrid

Vectors = Float[Array, "b n heads d"]
Maps = Float[Array, "b heads t h w"]
Weights = Float[Array, "b heads q k"]

_CHUNK_QUERIES = 196
"""Rows of attention weights that are held at a time."""


class AttentionMaps(NamedTuple):
    """Attention of a stage's layers, and their rollout.

    Attributes:
      layers: for each layer its path in the model and maps `[b, heads, t, h, w]` over the patches, or over the pooled
        keys of an MViT. Weights of a sequence sum to 1, including that of the class token.
      rollout: `[b, t, h, w]`: attention through all of these layers; see `rollout`. None where keys are pooled: what is
        attended to are then other tokens than those that attend.
    """

    layers: dict[str, Maps]
    rollout: Float[Array, "b t h w"] | None


def record_attention(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array, "b t h w 3"],
    stage: str,
    patch: tuple[int, int, int] | None = None,
    *,
    residual: float = 0.5,
) -> AttentionMaps:
    """Records the global attention of one stage, of one patch or as a mean, in memory linear in the tokens.

    For a TimeSformer whose tokens attend within their frames ("divided_space_time", "space_only"), and for a
    "factorised" ViViT, it is that attention; a patch then means its row and column in every frame. For an MViT, a
    stage is that of a single layer, such as "blocks/block3": each has its own grids of queries and of keys.

    Args:
      model: a UniFormer, a TimeSformer, a VideoMAE, a ViViT or an MViT, also behind motion prompts.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips.
      stage: a stage of `global_layers`, such as "stage3", or "blocks".
      patch: frame, row and column of the attending token. None for the class token or, without one, the mean over
        all tokens, which shows how much each token is attended to.
      residual: see `rollout`.

    Returns:
      Maps of each layer, and the rollout.

    Raises:
      UserError: there is no such stage or patch, or the stage has no global attention.
    """
    named = recording.names(model, clips.shape[1:])
    stages = global_layers(named)
    if stage not in stages:
        held = f"it has it in {', '.join(stages)}" if stages else f"{recording.HELD_BY['attention_weights']} have it"
        raise UserError(f"the model has no global attention in {stage!r}; {held}")
    layers = stages[stage]
    layout = model.token_layout(f"{layers[0]}/query", clips.shape[1:])
    of_keys = model.token_layout(f"{layers[0]}/key", clips.shape[1:])
    grid, key_grid = ((each.frames, each.rows, each.columns) for each in (layout, of_keys))
    within_frames = named[f"{layers[0]}/query"].shape[0] > 1
    sequence, keys = ((1, *each[1:]) if within_frames else each for each in (grid, key_grid))
    number = None if patch is None else _token_number(grid, patch) % math.prod(sequence)
    start = start_weights(math.prod(sequence), layout.class_tokens, number)
    transform = jax.tree_util.Partial(_attention_from, start, jnp.float32(residual))
    patterns = [f"{layer}/{part}" for layer in layers for part in ("query", "key")]
    maps = recording.record(model, variables, clips, patterns, transform=transform).maps

    def in_grid(weights: Array) -> Array:
        heads = weights.shape[1:-1]
        patches = weights[..., layout.class_tokens :].reshape(len(clips), -1, *heads, *keys)
        return jnp.moveaxis(patches, 1, 1 + len(heads)).reshape(len(clips), *heads, *key_grid)

    of_layers = {layer: in_grid(maps[layer]) for layer in layers}
    return AttentionMaps(of_layers, in_grid(maps["rollout"]) if "rollout" in maps else None)


def start_weights(patches: int, class_tokens: int, patch: int | None = None) -> Float[Array, " n"]:
    """Makes the initial weights of tokens: one attending token, or an average.

    Args:
      patches: number of tokens that are patches.
      class_tokens: number of tokens before them, 0 or 1.
      patch: number of the attending patch; None for the class token, or without one for all patches equally.

    Returns:
      Weights with a sum of 1.
    """
    start = np.zeros(class_tokens + patches, np.float32)
    if patch is not None:
        start[class_tokens + patch] = 1
    elif class_tokens:
        start[0] = 1
    else:
        start[:] = 1 / patches
    return jnp.asarray(start)


def _attention_from(start: Float[Array, " n"], residual: Array, maps: dict[str, Array]) -> dict[str, Array]:
    """Computes each layer's attention from a row of weights, and the rollout through layers of all tokens."""
    layers = [name.removesuffix("/query") for name in maps if name.endswith("/query")]
    queries, keys = ([maps[f"{layer}/{part}"] for layer in layers] for part in ("query", "key"))
    row = jnp.broadcast_to(start, (queries[0].shape[0], len(start)))
    found = {layer: attended_by(row, query, key) for layer, query, key in zip(layers, queries, keys, strict=True)}
    if pools_keys(queries[0], keys[0]):
        return found
    return {**found, "rollout": rollout_from(row, queries, keys, residual)}


def pools_keys(query: Vectors, key: Vectors) -> bool:
    """Tells if a layer attends to other tokens than those that attend (MViT), so that no rollout goes through it.

    Args:
      query: the intermediate `query` of the layer.
      key: the intermediate `key` of the layer.
    """
    return query.shape[1] != key.shape[1]


def rollout(weights: Sequence[Weights], residual: float = 0.5) -> Float[Array, "b q k"]:
    """Computes the share of each first-layer token in each last-layer token, by attention and residuals alone.

    It uses the mean of each layer over its heads, and a fixed share for a token's own residual.

    Args:
      weights: attention weights of the layers in order, all of the same tokens.
      residual: share of the residual connection, from 0 to 1.

    Returns:
      Weights with a sum of 1 over the tokens `k` of the first layer.

    Raises:
      UserError: the layers have different tokens, as those of two stages.
    """
    _check_layers([layer.shape[-1] for layer in weights])
    identity = jnp.eye(weights[0].shape[-1], dtype=jnp.float32)[None]
    total = identity
    for layer in weights:
        mixed = residual * identity + (1 - residual) * jnp.mean(layer.astype(jnp.float32), axis=1)
        total = jnp.matmul(mixed, total, precision=lax.Precision.HIGHEST)
    return total


def rollout_from(
    start: Float[Array, "b n"], queries: Sequence[Vectors], keys: Sequence[Vectors], residual: float | Array = 0.5
) -> Float[Array, "b n"]:
    """Computes a weighted mean of rows of `rollout`, from the last layer back, without holding any layer's weights.

    Args:
      start: weight of each token of the last layer: one for a chosen token, or equal weights for an average.
      queries: intermediates `query` of the layers, in order.
      keys: intermediates `key` of the same layers.
      residual: share of the residual connection, from 0 to 1. With 0 and a single layer it is the mean over the heads
        of that layer's attention.

    Returns:
      Weights of the tokens of the first layer, with the sum of `start`.

    Raises:
      UserError: the layers have different tokens, as those of two stages.
    """
    _check_layers([layer.shape[1] for layer in queries])
    row = start
    for query, key in zip(reversed(queries), reversed(keys), strict=True):
        row = residual * row + (1 - residual) * jnp.mean(attended_by(row, query, key), axis=1)
    return row


def attended_by(
    row: Float[Array, "b n"], query: Vectors, key: Float[Array, "b m heads d"]
) -> Float[Array, "b heads m"]:
    """Computes the attention of weighted tokens, some rows at a time, without holding all weights.

    Args:
      row: weight of each token.
      query: the intermediate `query` of a layer.
      key: the intermediate `key` of the same layer.

    Returns:
      For each head, the weighted sum of the rows of its attention; it sums to the sum of `row`.
    """
    batch, tokens, heads = query.shape[:3]
    chunks = -(-tokens // _CHUNK_QUERIES)
    missing = chunks * _CHUNK_QUERIES - tokens
    rows = jnp.pad(row, [(0, 0), (0, missing)]).reshape(batch, chunks, _CHUNK_QUERIES)
    queries = jnp.pad(query, [(0, 0), (0, missing), (0, 0), (0, 0)])
    queries = queries.reshape(batch, chunks, _CHUNK_QUERIES, *query.shape[2:])

    def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        weights = global_attention.attention_weights(part[1], key)
        return total + jnp.einsum("bq,bhqk->bhk", part[0], weights), None

    parts = jnp.moveaxis(rows, 1, 0), jnp.moveaxis(queries, 1, 0)
    total: Array = lax.scan(add, jnp.zeros((batch, heads, key.shape[1]), jnp.float32), parts)[0]
    return total


def attention_row(query: Vectors, key: Float[Array, "b m heads d"], token: int | Array) -> Float[Array, "b heads m"]:
    """Computes the attention of one token.

    Args:
      query: the intermediate `query` of a layer.
      key: the intermediate `key` of the same layer.
      token: number of the token; 0 is the class token of a TimeSformer.

    Returns:
      Weights that sum to 1, for each head.
    """
    chosen = lax.dynamic_slice_in_dim(query, token, 1, axis=1)
    return global_attention.attention_weights(chosen, key)[:, :, 0]


def _token_number(grid: tuple[int, int, int], patch: tuple[int, int, int]) -> int:
    """Returns the number of a patch among those of a clip."""
    if not all(0 <= index < count for index, count in zip(patch, grid, strict=True)):
        raise UserError(f"the layer has {grid} frames, rows and columns of patches, counted from 0; given {patch}")
    frame, row, column = patch
    return (frame * grid[1] + row) * grid[2] + column


def attention_of_patch(weights: Weights, grid: TokenGrid, patch: tuple[int, int, int]) -> Float[Array, "b heads t h w"]:
    """Arranges a patch's attention as maps over the frames.

    Args:
      weights: attention of all tokens with all tokens, `[b, heads, n, n]`, with or without a class token.
      grid: places of the tokens.
      patch: frame, row and column of the attending token.

    Returns:
      Maps over the tokens; with a class token they sum to less than 1.
    """
    class_tokens = weights.shape[-1] - grid.frames * grid.rows * grid.columns
    row = weights[:, :, class_tokens + _token_number(_shape(grid), patch)]
    return row[..., class_tokens:].reshape(*row.shape[:2], grid.frames, grid.rows, grid.columns)


def spatial_attention(weights: Weights, grid: TokenGrid, patch: tuple[int, int] | None = None) -> Array:
    """Arranges the attention within frames of a TimeSformer ("divided_space_time" or "space_only") as maps.

    Args:
      weights: the intermediate `blocks/block{i}/attention/attention_weights`, `[b * t, heads, 1 + h * w, 1 + h * w]`.
      grid: places of the tokens.
      patch: row and column of the attending patch, or None for the class token.

    Returns:
      Maps `[b, heads, t, h, w]` over the patches of each frame.
    """
    number = 0 if patch is None else 1 + _token_number(_shape(grid), (0, *patch))
    rows = weights[:, :, number, 1:].reshape(-1, grid.frames, weights.shape[1], grid.rows, grid.columns)
    return jnp.moveaxis(rows, 2, 1)


def temporal_attention(weights: Weights, grid: TokenGrid, patch: tuple[int, int]) -> Float[Array, "b heads t t"]:
    """Selects the attention over time of a TimeSformer, of one patch to the same patch in all frames.

    Args:
      weights: the intermediate `blocks/block{i}/temporal_attention/attention_weights`, `[b * h * w, heads, t, t]`.
      grid: places of the tokens.
      patch: row and column of the patch.

    Returns:
      For each head, the weights of every frame (column) for each frame (row).
    """
    number = _token_number(_shape(grid), (0, *patch))
    return weights.reshape(-1, grid.rows * grid.columns, *weights.shape[1:])[:, number]


def received_over_time(weights: Weights, grid: TokenGrid) -> Float[Array, "b heads t h w"]:
    """Averages the attention that each patch receives over time: shows where and when something happens.

    Args:
      weights: as for `temporal_attention`.
      grid: places of the tokens.

    Returns:
      Maps; 1 / t everywhere if all frames count alike.
    """
    received = jnp.mean(weights, axis=2).reshape(-1, grid.rows, grid.columns, *weights.shape[1:3])
    return jnp.moveaxis(received, (1, 2), (3, 4))


def global_layers(found: Mapping[str, jax.ShapeDtypeStruct] | Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """Groups the layers of global attention by the stage whose tokens they share.

    Args:
      found: intermediates by name, or their shapes, as from `recording.names`.

    Returns:
      Stage, such as "stage3" or "blocks" -> paths of its layers, the names before `/query` and `/key`, in order. A
      stage whose keys are pooled (MViT) falls apart into its layers, such as "blocks/block3".
    """
    stages: dict[str, list[str]] = {}
    for name in found:
        if name.endswith("/attention/query"):
            layer = name.removesuffix("/query")
            stages.setdefault(layer.rpartition("/block")[0], []).append(layer)
    together = {}
    for stage, layers in stages.items():
        tokens = {found[f"{layer}/{part}"].shape[1] for layer in layers for part in ("query", "key")}
        if len(tokens) == 1:
            together[stage] = layers
        else:
            together |= {layer.removesuffix("/attention"): [layer] for layer in layers}
    return together


def _shape(grid: TokenGrid) -> tuple[int, int, int]:
    return grid.frames, grid.rows, grid.columns


def _check_layers(tokens: Sequence[int]) -> None:
    if not tokens or len(set(tokens)) > 1:
        raise UserError(
            f"a rollout goes through layers of the same tokens, as of one stage; given layers of {list(tokens)} tokens"
        )
