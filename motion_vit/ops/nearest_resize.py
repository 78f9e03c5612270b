"""Resizes position and time embeddings by nearest neighbours.

Source: `forward_features` in TimeSformer's `timesformer/models/vit.py`, which calls PyTorch's
  `F.interpolate(mode="nearest")`. Where the authors load weights (`load_pretrained` in `helpers.py`), they resize the
  positions as one row, which mixes up rows of patches; this module resizes in two dimensions.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def resize_position_embedding(
    embedding: Float[Array, "positions c"], rows: int, columns: int
) -> Float[Array, "resized c"]:
    """Resizes a position embedding of a square grid of patches.

    Args:
      embedding: the entry of the class token, then those of the patches, row after row.
      rows: new number of rows of patches.
      columns: new number of columns of patches.

    Returns:
      The unchanged entry of the class token, then those of `rows * columns` patches. The embedding itself, if it fits.

    Raises:
      ValueError: the patches of `embedding` do not form a square.
    """
    side = math.isqrt(max(embedding.shape[0] - 1, 0))
    if side == 0 or side * side + 1 != embedding.shape[0]:
        raise ValueError(
            f"a position embedding of {embedding.shape[0]} entries is not that of a class token and a square of patches"
        )
    if (side, side) == (rows, columns):
        return embedding
    channels = embedding.shape[1]
    grid = lax.slice_in_dim(embedding, 1, None, axis=0).reshape(side, side, channels)
    grid = _resize_axis(_resize_axis(grid, rows, axis=0), columns, axis=1)
    class_token = lax.slice_in_dim(embedding, 0, 1, axis=0)
    return jnp.concatenate([class_token, grid.reshape(rows * columns, channels)], axis=0)


def resize_time_embedding(embedding: Float[Array, "t c"], frames: int) -> Float[Array, "frames c"]:
    """Resizes a time embedding to a number of frames; returns it unchanged if it fits."""
    return _resize_axis(embedding, frames, axis=0)


def resize_grid_embedding(
    embedding: Float[Array, "positions c"], grid: tuple[int, int, int], new_grid: tuple[int, int, int]
) -> Float[Array, "resized c"]:
    """Resizes an embedding of the places of a whole clip.

    Args:
      embedding: entries frame by frame, row by row.
      grid: frames, rows and columns of the entries.
      new_grid: wanted frames, rows and columns.

    Returns:
      Entries in the same order; the embedding itself, if it fits.
    """
    channels = embedding.shape[1]
    entries = embedding.reshape(*grid, channels)
    for axis, size in enumerate(new_grid):
        entries = _resize_axis(entries, size, axis=axis)
    return entries.reshape(-1, channels)


def nearest_indices(size: int, new_size: int) -> list[int]:
    """Returns the entry of an axis of `size` that each of `new_size` entries copies, in float32 as PyTorch."""
    scale = np.float32(size) / np.float32(new_size)
    indices = np.floor(np.arange(new_size, dtype=np.float32) * scale).astype(int)
    return np.minimum(indices, size - 1).tolist()


def _resize_axis(x: Float[Array, "*shape"], new_size: int, axis: int) -> Float[Array, "*resized"]:
    if x.shape[axis] == new_size:
        return x
    # Slices and not a gather, which ONNX is not given.
    entries = [lax.slice_in_dim(x, index, index + 1, axis=axis) for index in nearest_indices(x.shape[axis], new_size)]
    return jnp.concatenate(entries, axis=axis)
