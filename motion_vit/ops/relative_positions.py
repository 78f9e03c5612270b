"""Relative positions along one axis, decomposed: a row of a table for each distance of a query from a key.

Source: MViTv2 (arXiv 2112.01526, section 4.1; `get_rel_pos` and `cal_rel_pos_spatial` in `slowfast/models/attention.py`
of facebookresearch/SlowFast).
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def distance_embeddings(table: Float[Array, "distances c"], queries: int, keys: int) -> Float[Array, "queries keys c"]:
    """Looks up the embedding of each query's distance from each key.

    Places are counted on the finer of the two grids; fractions are cut off. A table of another length than
    `2 * max(queries, keys) - 1` is resized to it, linearly between the centres of its rows.

    Args:
      table: an embedding for each distance, the most negative one first.
      queries: places of queries along the axis.
      keys: places of keys along the same stretch.

    Returns:
      An embedding for each pair.
    """
    # A product and not a gather: it also resizes, and formats of exported programs know it.
    selection = _selection(table.shape[0], queries, keys).astype(table.dtype)
    return jnp.einsum("qkr,rc->qkc", selection, table, precision=lax.Precision.HIGHEST)


def resize_table(table: Float[Array, "distances c"], size: int) -> Float[Array, "resized c"]:
    """Resizes a table of distances, linearly between the centres of its rows, as `distance_embeddings` does.

    Args:
      table: an embedding for each distance, the most negative one first.
      size: new number of distances.

    Returns:
      A table of `size` rows.
    """
    weights = _resizing(table.shape[0], size).astype(table.dtype)
    return jnp.matmul(weights, table, precision=lax.Precision.HIGHEST)


def _selection(rows: int, queries: int, keys: int) -> np.ndarray:
    """Makes the weights `[queries, keys, rows]` of the rows of a table in the embedding of each pair."""
    query_step, key_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    # In float32, as the authors compute them: where a fraction is cut off, rounding decides.
    of_queries = np.arange(queries, dtype=np.float32)[:, None] * np.float32(query_step)
    of_keys = np.arange(keys, dtype=np.float32)[None, :] * np.float32(key_step)
    distances = (of_queries - of_keys + np.float32((keys - 1) * key_step)).astype(np.int64)
    return _resizing(rows, 2 * max(queries, keys) - 1)[distances]


def _resizing(rows: int, size: int) -> np.ndarray:
    """Makes the weights `[size, rows]` of linear resizing (PyTorch's `interpolate(mode="linear")`)."""
    places = np.clip((np.arange(size) + 0.5) * rows / size - 0.5, 0, rows - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(rows))).astype(np.float32)
