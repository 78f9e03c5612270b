"""Takes the window around every query out of all pairs of a frame, by a matrix product with a one-hot array.

A TPU stores the last two axes of an array in tiles of 8 x 128, so that the short axes of the other forms (7
displacements, 14 columns) fill a fraction of each tile, and it gathers slowly. Products with constants are what it does
best. For 5 heads and 15 pairs of 14 x 14, forward and backward, the compiler for v5e estimates a tenth of the cycles of
pads and reshapes, and a sixth of the memory is accessed.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from motion_vit.ops.precision import accumulation_dtype
from motion_vit.ops.window_geometry import (
    Band,
    Heads,
    add_outside_value,
    displacement_of_key,
    fill_outside,
    flatten_space,
)


def onehot_affinity(query: Heads, key: Heads, window: int) -> Band:
    """Computes inner products of each query with the keys of its window; see `motion_vit.ops.neighbourhood.Form`."""
    dtype = accumulation_dtype(query.dtype)
    pairs = jnp.einsum("bnhqd,bnhkd->bnhqk", flatten_space(query), flatten_space(key), preferred_element_type=dtype)
    selection = _selection(query.shape[3], query.shape[4], window, dtype)
    # At the highest precision a sum of which one term is not zero is that term, also where products round to bfloat16.
    band = jnp.einsum("bnhqk,qkp->bnhqp", pairs, selection, precision=lax.Precision.HIGHEST)
    return fill_outside(band.reshape(*query.shape[:5], window * window), query, window)


def onehot_aggregate(weights: Band, value: Heads, window: int) -> Heads:
    """Sums the weighted values of each window; see `motion_vit.ops.neighbourhood.Form`."""
    dtype = accumulation_dtype(value.dtype)
    selection = _selection(value.shape[3], value.shape[4], window, weights.dtype)
    pairs = jnp.einsum("bnhqp,qkp->bnhqk", flatten_space(weights), selection)
    output = jnp.einsum("bnhqk,bnhkd->bnhqd", pairs, flatten_space(value), preferred_element_type=dtype)
    return add_outside_value(output.reshape(value.shape), weights, window).astype(value.dtype)


def _selection(height: int, width: int, window: int, dtype: jnp.dtype) -> Float[Array, "q k p"]:
    """Returns 1 where displacement `p` leads from query `q` to key `k`, all 0 for keys outside the window."""
    displacement, reached = displacement_of_key(height, width, window)
    displacements = jnp.arange(window * window, dtype=jnp.int32)[None, None, :]
    # Compared on the device: the array would be many times larger than the program.
    return ((jnp.where(reached, displacement, -1).astype(jnp.int32)[:, :, None]) == displacements).astype(dtype)
