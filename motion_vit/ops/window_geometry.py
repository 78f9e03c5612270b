"""The keys in the window around a query, and the constant for those outside the image.

Displacement `p = u * K + v` of a `K x K` window leads from row `i` and column `j` to row `i + u - K // 2` and column
`j + v - K // 2`. Keys and values outside the image are the constant `PADDING_VALUE`.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

PADDING_VALUE = 1e-6
"""What keys and values hold outside the image (the authors' `nn.ConstantPad2d(K // 2, 1e-6)`)."""

Heads = Float[Array, "b n heads h w d"]
Band = Float[Array, "b n heads h w p"]


def inside_image(height: int, width: int, window: int) -> Bool[np.ndarray, "h w p"]:
    """Tells if displacement `p` of the query at `(row, column)` stays in the image."""
    radius = window // 2
    shift = np.arange(window) - radius
    rows = np.arange(height)[:, None] + shift
    columns = np.arange(width)[:, None] + shift
    row_inside = (rows >= 0) & (rows < height)
    column_inside = (columns >= 0) & (columns < width)
    inside = row_inside[:, None, :, None] & column_inside[None, :, None, :]
    return inside.reshape(height, width, window * window)


def displacement_of_key(height: int, width: int, window: int) -> tuple[Int[np.ndarray, "q k"], Bool[np.ndarray, "q k"]]:
    """Returns the displacement that leads each query to each key, and whether the key is in the query's window."""
    radius = window // 2
    rows, columns = (grid.reshape(-1) for grid in np.mgrid[:height, :width])
    down = rows[None, :] - rows[:, None] + radius
    right = columns[None, :] - columns[:, None] + radius
    reached = (down >= 0) & (down < window) & (right >= 0) & (right < window)
    return np.where(reached, down * window + right, 0), reached


def fill_outside(band: Band, query: Heads, window: int) -> Band:
    """Gives displacements that leave the image the logit of the padding constant."""
    inside = jnp.asarray(inside_image(band.shape[3], band.shape[4], window))[None, None, None]
    outside = PADDING_VALUE * jnp.sum(query, axis=-1, keepdims=True, dtype=band.dtype)
    return jnp.where(inside, band, outside)


def add_outside_value(output: Heads, weights: Band, window: int) -> Heads:
    """Adds the values of displacements that leave the image: their weights times the padding constant."""
    outside = jnp.asarray(~inside_image(weights.shape[3], weights.shape[4], window), output.dtype)[None, None, None]
    return output + PADDING_VALUE * jnp.sum(weights.astype(output.dtype) * outside, axis=-1, keepdims=True)


def flatten_space(x: Float[Array, "b n heads h w c"]) -> Float[Array, "b n heads q c"]:
    """Flattens rows and columns of the image to one axis."""
    return x.reshape(*x.shape[:3], x.shape[3] * x.shape[4], x.shape[5])
