"""Takes the window around every query out of all pairs of a frame by one skew; parts of a kernel for TPU.

Queries and keys are laid out on a line: rows of the image are `W + r` apart, `r = K // 2`, and the `r` places between
the end of a row and the start of the next hold the padding of both. Key `n + u * (W + r) + v` is then at displacement
`(u, v)` of query `n`, for any `n`. Rolling row `n` of the products of all pairs by `n` to the left puts every
displacement into its own column: the band. The hardware rolls only to the right; therefore queries are in reverse on
the line where the band is taken out, and in order where it is put back. Products with matrices of zeros and ones move
the data, in the unit that has time to spare.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas import tpu as pltpu
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from motion_vit.ops.tpu_kernel import dot
from motion_vit.ops.window_geometry import PADDING_VALUE

_LANES = 128
_SUBLANES = 16
"""Rows are a multiple of this: of the tiles of float32 (8) and of bfloat16 (16)."""


class Line(NamedTuple):
    """The line of a frame.

    Attributes:
      height: rows of tokens.
      width: tokens of a row.
      window: side `K` of the neighbourhood.
    """

    height: int
    width: int
    window: int

    @property
    def stride(self) -> int:
        """Distance from one row to the next; no two displacements may share a column."""
        return max(self.width + self.window // 2, self.window)

    @property
    def queries(self) -> int:
        """Places for queries."""
        return _round_up(self.height * self.stride, _SUBLANES)

    @property
    def columns(self) -> int:
        """Columns of the band; the displacement `(K - 1, K - 1)` is the last that is used."""
        return _round_up((self.window - 1) * self.stride + self.window, _LANES)

    @property
    def keys(self) -> int:
        """Places for keys."""
        return _round_up(self.queries + self.columns, _LANES)

    @property
    def displacement_columns(self) -> Int[np.ndarray, " p"]:
        """The column of each displacement `u * K + v`."""
        down, right = np.divmod(np.arange(self.window**2), self.window)
        return down * self.stride + right


class Placement(NamedTuple):
    """Matrices of zeros and ones that move tokens to their places on the line, and back.

    Attributes:
      in_order: `[queries, tokens]`, from tokens to their places.
      reversed: `[queries, tokens]`, from tokens to their places in reverse.
      turn: `[queries, queries]`, from one order to the other.
      keys: `[keys, tokens]`, from tokens to their places among the keys.
      outside: `[keys, 1]`, 1 at places of keys without a token.
      inside: `[1, columns]`, 1 at columns of displacements.
    """

    in_order: Array
    reversed: Array
    turn: Array
    keys: Array
    outside: Array
    inside: Array


def placement(line: Line, dtype: DTypeLike) -> Placement:
    """Makes the matrices of a line.

    Args:
      line: size of the frame and the window.
      dtype: dtype of the tokens to be multiplied.

    Returns:
      The matrices; `outside` and `inside` in float32.
    """
    tokens = np.arange(line.height * line.width)
    row, column = np.divmod(tokens, line.width)
    reach = line.window // 2
    in_order = np.zeros((line.queries, len(tokens)), np.float32)
    in_order[row * line.stride + column, tokens] = 1
    keys = np.zeros((line.keys, len(tokens)), np.float32)
    keys[(row + reach) * line.stride + column + reach, tokens] = 1
    inside = np.zeros((1, line.columns), np.float32)
    inside[0, line.displacement_columns] = 1
    return Placement(
        in_order=jnp.asarray(in_order, dtype),
        reversed=jnp.asarray(in_order[::-1], dtype),
        turn=jnp.asarray(np.eye(line.queries, dtype=np.float32)[::-1], dtype),
        keys=jnp.asarray(keys, dtype),
        outside=jnp.asarray(1 - keys.sum(axis=1, keepdims=True)),
        inside=jnp.asarray(inside),
    )


def keys_on_line(frame: Float[Array, "tokens c"], places: Placement) -> Float[Array, "keys c"]:
    """Puts keys or values on the line, with the padding constant around them."""
    return (dot(places.keys, frame) + PADDING_VALUE * places.outside).astype(frame.dtype)


def take_band(every_pair: Float[Array, "reversed_queries keys"], columns: int) -> Float[Array, "reversed_queries p"]:
    """Takes the band out of the products of all pairs, with queries in reverse. For use in a kernel.

    Args:
      every_pair: a product for each place of a query and each of a key.
      columns: `Line.columns`.

    Returns:
      The products of each query's displacements, in `Line.displacement_columns`.
    """
    queries, keys = every_pair.shape
    return pltpu.roll(every_pair, keys - (queries - 1), axis=1, stride=1, stride_axis=0)[:, :columns]


def put_band(band: Float[Array, "queries p"], keys: int) -> Float[Array, "queries keys"]:
    """Puts the band back into all pairs, with queries in order: the transpose of `take_band`. For use in a kernel.

    Args:
      band: a number for each query and displacement.
      keys: `Line.keys`.

    Returns:
      The numbers at their pairs, 0 at all others.
    """
    wide = jnp.pad(band, ((0, 0), (0, keys - band.shape[1])))
    return pltpu.roll(wide, 0, axis=1, stride=1, stride_axis=0)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
