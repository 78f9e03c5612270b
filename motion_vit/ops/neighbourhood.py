"""Inner products with, and weighted sums over, the window around every query in a paired frame.

The module holds several forms of the same two maps, of which `motion_vit.ops.cost_volume` makes attention. "affinity"
takes the inner product of each query with the `K x K` keys around its own place; "aggregate" sums the values there with
given weights. Keys and values outside the image are a constant (`motion_vit.ops.window_geometry`). All forms except the
gathering reference compute the products of all pairs of a frame or strip, which are matrix products, and take the band
of the window out of them.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from motion_vit.ops.onehot_band import onehot_affinity, onehot_aggregate
from motion_vit.ops.platform import apply_by_platform
from motion_vit.ops.precision import accumulation_dtype
from motion_vit.ops.window_geometry import (
    PADDING_VALUE,
    Band,
    Heads,
    add_outside_value,
    displacement_of_key,
    fill_outside,
    flatten_space,
    inside_image,
)

_DENSE_TOKENS = 400
"""Above this many tokens a frame, affinities are computed in strips of rows: all pairs would grow with its square."""

_STRIP_ROWS = 7


class Form(NamedTuple):
    """One way to compute both maps.

    Attributes:
      affinity: `(query, key, window)` to the inner products, accumulated in float32 or better.
      aggregate: `(weights, value, window)` to the weighted sums, in the dtype of `value`.
    """

    affinity: Callable[[Heads, Heads, int], Band]
    aggregate: Callable[[Band, Heads, int], Heads]


# --- xla_window: gather every window (the reference) ------------------------------------------------------------------


def _windows(x: Heads, window: int) -> Float[Array, "b n heads h w p d"]:
    radius = window // 2
    padded = jnp.pad(x, [(0, 0)] * 3 + [(radius, radius)] * 2 + [(0, 0)], constant_values=PADDING_VALUE)
    rows = np.arange(x.shape[3])[:, None, None, None] + np.arange(window)[None, None, :, None]
    columns = np.arange(x.shape[4])[None, :, None, None] + np.arange(window)[None, None, None, :]
    windows = padded[:, :, :, rows, columns]
    return windows.reshape(*x.shape[:5], window * window, x.shape[5])


def _window_affinity(query: Heads, key: Heads, window: int) -> Band:
    dtype = accumulation_dtype(query.dtype)
    return jnp.einsum("bnhijd,bnhijpd->bnhijp", query, _windows(key, window), preferred_element_type=dtype)


def _window_aggregate(weights: Band, value: Heads, window: int) -> Heads:
    dtype = accumulation_dtype(value.dtype)
    output = jnp.einsum("bnhijp,bnhijpd->bnhijd", weights, _windows(value, window), preferred_element_type=dtype)
    return output.astype(value.dtype)


# --- xla_strip and xla_dense: all pairs of a strip of rows, then the band by pads and reshapes ------------------------


def _band_of_rows(pairs: Float[Array, "*batch i y rest"], window: int) -> Float[Array, "*batch i k rest"]:
    """Takes `[..., i, i + u, :]` for `u < window` out of axes -3 and -2 without a gather.

    Row `i` of a matrix of `y` columns starts at `i * y` in memory, so its diagonal element `u` lies at `i * (y + 1) +
    u`: reading the same memory with rows one longer puts the band into the first columns.
    """
    *batch, rows, columns, rest = pairs.shape
    flat = pairs.reshape(*batch, rows * columns, rest)
    flat = jnp.pad(flat, [(0, 0)] * len(batch) + [(0, rows), (0, 0)])
    return flat.reshape(*batch, rows, columns + 1, rest)[..., :window, :]


def _rows_of_band(band: Float[Array, "*batch i k rest"], columns: int) -> Float[Array, "*batch i y rest"]:
    """Puts the band back on the diagonals of a matrix of `columns` columns: the transpose of `_band_of_rows`."""
    *batch, rows, window, rest = band.shape
    wide = jnp.pad(band, [(0, 0)] * len(batch) + [(0, 0), (0, columns + 1 - window), (0, 0)])
    flat = wide.reshape(*batch, rows * (columns + 1), rest)[..., : rows * columns, :]
    return flat.reshape(*batch, rows, columns, rest)


def _take_band(pairs: Float[Array, "*batch i j y x"], window: int) -> Float[Array, "*batch i j p"]:
    """Takes the window of every query out of all-pairs affinities whose key axes `y`, `x` are padded by the radius."""
    *batch, rows, columns, key_rows, key_columns = pairs.shape
    lead = len(batch)
    by_row = jnp.moveaxis(pairs, lead + 2, lead + 1).reshape(*batch, rows, key_rows, columns * key_columns)
    by_row = _band_of_rows(by_row, window).reshape(*batch, rows, window, columns, key_columns, 1)
    band = _band_of_rows(by_row, window)[..., 0]
    return jnp.moveaxis(band, lead + 1, lead + 2).reshape(*batch, rows, columns, window * window)


def _put_band(band: Float[Array, "*batch i j p"], key_rows: int, key_columns: int) -> Float[Array, "*batch i j y x"]:
    """Puts the band back into all pairs: the transpose of `_take_band`."""
    *batch, rows, columns, displacements = band.shape
    lead, window = len(batch), round(displacements**0.5)
    by_row = jnp.moveaxis(band.reshape(*batch, rows, columns, window, window), lead + 2, lead + 1)
    by_row = _rows_of_band(by_row[..., None], key_columns).reshape(*batch, rows, window, columns * key_columns)
    pairs = _rows_of_band(by_row, key_rows).reshape(*batch, rows, key_rows, columns, key_columns)
    return jnp.moveaxis(pairs, lead + 1, lead + 2)


def _dense_affinity(query: Heads, key: Heads, window: int) -> Band:
    dtype = accumulation_dtype(query.dtype)
    radius = window // 2
    pairs = jnp.einsum("bnhijd,bnhyxd->bnhijyx", query, key, preferred_element_type=dtype)
    pairs = jnp.pad(pairs, [(0, 0)] * 5 + [(radius, radius)] * 2)
    return fill_outside(_take_band(pairs, window), query, window)


def _dense_aggregate(weights: Band, value: Heads, window: int) -> Heads:
    dtype = accumulation_dtype(value.dtype)
    height, width, radius = value.shape[3], value.shape[4], window // 2
    pairs = _put_band(weights, height + 2 * radius, width + 2 * radius)
    pairs = pairs[..., radius : radius + height, radius : radius + width]
    output = jnp.einsum("bnhijyx,bnhyxd->bnhijd", pairs, value, preferred_element_type=dtype)
    return add_outside_value(output, weights, window).astype(value.dtype)


# --- xla_folded: the same, with all axes before rows and columns as one -----------------------------------------------


def _folded_affinity(query: Heads, key: Heads, window: int) -> Band:
    dtype = accumulation_dtype(query.dtype)
    height, width, radius = query.shape[3], query.shape[4], window // 2
    tall, wide = height + 2 * radius, width + 2 * radius
    tokens = (x.reshape(-1, height * width, x.shape[5]) for x in (query, key))
    pairs = jnp.einsum("nqd,nkd->nqk", *tokens, preferred_element_type=dtype)
    pairs = pairs.reshape(-1, height * width, height, width)
    pairs = jnp.pad(pairs, [(0, 0)] * 2 + [(radius, radius)] * 2)
    by_row = jnp.swapaxes(pairs.reshape(-1, height, width, tall, wide), 2, 3)
    by_row = _band_of_rows(by_row.reshape(-1, height, tall, width * wide), window)
    band = _band_of_rows(by_row.reshape(-1, width, wide, 1), window).reshape(-1, height, window, width, window)
    band = jnp.swapaxes(band, 2, 3).reshape(*query.shape[:5], window * window)
    return fill_outside(band, query, window)


def _folded_aggregate(weights: Band, value: Heads, window: int) -> Heads:
    dtype = accumulation_dtype(value.dtype)
    height, width, radius = value.shape[3], value.shape[4], window // 2
    tall, wide = height + 2 * radius, width + 2 * radius
    by_row = jnp.swapaxes(weights.reshape(-1, height, width, window, window), 2, 3)
    by_row = _rows_of_band(by_row.reshape(-1, width, window, 1), wide).reshape(-1, height, window, width * wide)
    pairs = jnp.swapaxes(_rows_of_band(by_row, tall).reshape(-1, height, tall, width, wide), 2, 3)
    pairs = pairs.reshape(-1, height * width, tall, wide)
    pairs = lax.slice_in_dim(lax.slice_in_dim(pairs, radius, radius + height, axis=2), radius, radius + width, axis=3)
    tokens = value.reshape(-1, height * width, value.shape[5])
    pairs = pairs.reshape(-1, height * width, height * width)
    output = jnp.einsum("nqk,nkd->nqd", pairs, tokens, preferred_element_type=dtype)
    return add_outside_value(output.reshape(value.shape), weights, window).astype(value.dtype)


def _strips(x: Float[Array, "b n heads h *rest"], halo: int) -> Float[Array, "b n heads strips rows *rest"]:
    """Cuts rows into strips of `_STRIP_ROWS` with `halo` rows of zeros or neighbours above and below each."""
    count = -(-x.shape[3] // _STRIP_ROWS)
    below = count * _STRIP_ROWS - x.shape[3] + halo
    padded = jnp.pad(x, [(0, 0)] * 3 + [(halo, below)] + [(0, 0)] * (x.ndim - 4))
    starts = range(0, count * _STRIP_ROWS, _STRIP_ROWS)
    return jnp.stack([padded[:, :, :, start : start + _STRIP_ROWS + 2 * halo] for start in starts], axis=3)


def _join_strips(strips: Float[Array, "b n heads s rows *rest"], height: int) -> Float[Array, "b n heads h *rest"]:
    joined = strips.reshape(*strips.shape[:3], strips.shape[3] * strips.shape[4], *strips.shape[5:])
    return joined[:, :, :, :height]


def _strip_affinity(query: Heads, key: Heads, window: int) -> Band:
    dtype = accumulation_dtype(query.dtype)
    radius = window // 2
    pairs = jnp.einsum(
        "bnhsijd,bnhsyxd->bnhsijyx", _strips(query, 0), _strips(key, radius), preferred_element_type=dtype
    )
    pairs = jnp.pad(pairs, [(0, 0)] * 7 + [(radius, radius)])
    band = _join_strips(_take_band(pairs, window), query.shape[3])
    return fill_outside(band, query, window)


def _strip_aggregate(weights: Band, value: Heads, window: int) -> Heads:
    dtype = accumulation_dtype(value.dtype)
    height, width, radius = value.shape[3], value.shape[4], window // 2
    pairs = _put_band(_strips(weights, 0), _STRIP_ROWS + 2 * radius, width + 2 * radius)[..., radius : radius + width]
    output = jnp.einsum("bnhsijyx,bnhsyxd->bnhsijd", pairs, _strips(value, radius), preferred_element_type=dtype)
    return add_outside_value(_join_strips(output, height), weights, window).astype(value.dtype)


# --- xla_take: all pairs of a frame, then the band by indexing --------------------------------------------------------


def _key_of_displacement(height: int, width: int, window: int) -> Int[np.ndarray, "q p"]:
    """Returns the flat key index that each query reaches by each displacement.

    It is 0 where the displacement leaves the image: callers mask it.
    """
    radius = window // 2
    shift = np.arange(window) - radius
    rows = np.arange(height)[:, None, None, None] + shift[None, None, :, None]
    columns = np.arange(width)[None, :, None, None] + shift[None, None, None, :]
    keys = (rows * width + columns).reshape(height * width, window * window)
    return np.where(inside_image(height, width, window).reshape(keys.shape), keys, 0)


def _take_last(x: Float[Array, "*batch q n"], index: Int[np.ndarray, "q m"], keep: Bool[np.ndarray, "q m"]) -> Array:
    """Takes `x[..., q, index[q, m]]` where `keep`, else zero."""
    lead = (1,) * (x.ndim - 2)
    taken = jnp.take_along_axis(x, jnp.asarray(index).reshape(*lead, *index.shape), axis=-1, mode="promise_in_bounds")
    return jnp.where(jnp.asarray(keep).reshape(*lead, *keep.shape), taken, jnp.zeros((), x.dtype))


def _make_band_by_indexing(
    height: int, width: int, window: int
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Makes two maps between all pairs `[..., q, k]` and the band `[..., q, p]`, each the other's transpose.

    Each pair belongs to at most one displacement, so the transpose of either map is a gather as well. Autodiff would
    make it a scatter, which is far slower on CPU and not deterministic on GPU.
    """
    take_index = _key_of_displacement(height, width, window)
    take_keep = inside_image(height, width, window).reshape(take_index.shape)
    put_index, put_keep = displacement_of_key(height, width, window)

    @jax.custom_vjp
    def take(pairs: Array) -> Array:
        return _take_last(pairs, take_index, take_keep)

    @jax.custom_vjp
    def put(band: Array) -> Array:
        return _take_last(band, put_index, put_keep)

    take.defvjp(lambda pairs: (take(pairs), None), lambda _, gradient: (put(gradient),))
    put.defvjp(lambda band: (put(band), None), lambda _, gradient: (take(gradient),))
    return take, put


def _take_affinity(query: Heads, key: Heads, window: int) -> Band:
    height, width = query.shape[3:5]
    dtype = accumulation_dtype(query.dtype)
    pairs = jnp.einsum("bnhqd,bnhkd->bnhqk", flatten_space(query), flatten_space(key), preferred_element_type=dtype)
    take, _ = _make_band_by_indexing(height, width, window)
    return fill_outside(take(pairs).reshape(*query.shape[:5], window * window), query, window)


def _take_aggregate(weights: Band, value: Heads, window: int) -> Heads:
    dtype = accumulation_dtype(value.dtype)
    _, put = _make_band_by_indexing(value.shape[3], value.shape[4], window)
    pairs = put(flatten_space(weights))
    output = jnp.einsum("bnhqk,bnhkd->bnhqd", pairs, flatten_space(value), preferred_element_type=dtype)
    return add_outside_value(output.reshape(value.shape), weights, window).astype(value.dtype)


_FORMS = {
    "xla_window": Form(_window_affinity, _window_aggregate),
    "xla_dense": Form(_dense_affinity, _dense_aggregate),
    "xla_folded": Form(_folded_affinity, _folded_aggregate),
    "xla_take": Form(_take_affinity, _take_aggregate),
    "xla_strip": Form(_strip_affinity, _strip_aggregate),
    "xla_onehot": Form(onehot_affinity, onehot_aggregate),
}

IMPLEMENTATIONS = tuple(_FORMS)
"""The names of the forms."""


def choose_form(name: str | None, height: int, width: int) -> Form:
    """Returns the form of a name in `IMPLEMENTATIONS`, or the best for the platform and `height x width` tokens."""
    if name is not None:
        return _FORMS[name]
    choose = functools.partial(_choose, height, width)

    def affinity(query: Heads, key: Heads, window: int) -> Band:
        return apply_by_platform(choose, _affinity, query, key, window=window)

    def aggregate(weights: Band, value: Heads, window: int) -> Heads:
        return apply_by_platform(choose, _aggregate, weights, value, window=window)

    return Form(affinity, aggregate)


def _affinity(name: str, query: Heads, key: Heads, *, window: int) -> Band:
    return _FORMS[name].affinity(query, key, window)


def _aggregate(name: str, weights: Band, value: Heads, *, window: int) -> Heads:
    return _FORMS[name].aggregate(weights, value, window)


def _choose(height: int, width: int, platform: str) -> str:
    if platform in ("onnx", "litert"):
        return "xla_folded"
    if height * width > _DENSE_TOKENS:
        return "xla_strip"
    return {"cpu": "xla_take", "tpu": "xla_onehot"}.get(platform, "xla_dense")
