"""Averages a grid to a given number of rows and columns."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def adaptive_average_pool(
    x: Float[Array, "*batch h w c"], rows: int, columns: int
) -> Float[Array, "*batch rows columns c"]:
    """Averages cells of a grid to fewer rows and columns.

    Row `i` of the result is the mean of the rows from `floor(i h / rows)` to before `ceil((i + 1) h / rows)`, so that
    neighbours share a row where these do not divide `h`; columns likewise. That is `adaptive_avg_pool2d` of PyTorch.

    Args:
      x: a grid of features.
      rows: of the result, at most `h`.
      columns: of the result, at most `w`.

    Returns:
      The means, computed in float32, in the dtype of `x`.

    Raises:
      ValueError: more rows or columns are asked for than there are.
    """
    height, width = x.shape[-3:-1]
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ValueError(f"a grid of {height} x {width} cells cannot be averaged to {rows} x {columns}")
    by_row, by_column = _shares(height, rows), _shares(width, columns)
    means = jnp.einsum("ih,jw,...hwc->...ijc", by_row, by_column, x.astype(jnp.float32), precision="highest")
    return means.astype(x.dtype)


def _shares(length: int, parts: int) -> Float[np.ndarray, "parts length"]:
    """Computes the share of each place in the mean of each part."""
    first = np.arange(parts) * length // parts
    end = -(-(np.arange(parts) + 1) * length // parts)
    place = np.arange(length)
    inside = (place >= first[:, None]) & (place < end[:, None])
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
