"""Windows that cut a clip into boxes of neighbouring tokens, and what tells their tokens apart.

Source: `window_partition`, `get_window_size`, `compute_mask` and `WindowAttention3D` of SwinTransformer/
Video-Swin-Transformer (`models/backbones/swin_transformer.py`, arXiv 2106.13230); torchvision's
`models/video/swin_transformer.py` computes the same.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Sizes = tuple[int, int, int]

APART = -100.0
"""What is added to the logits of tokens of different regions, as published; see `window_regions`."""


@dataclasses.dataclass(frozen=True)
class ClipWindows:
    """Windows that cut a clip, in frames, rows and columns of tokens.

    Attributes:
      grid: of the clip.
      size: of a window.
      shift: by how much the windows are shifted towards the end. What is left over at the start of an axis shares
        windows with what is left over at its end; `window_regions` keeps them apart.
    """

    grid: Sizes
    size: Sizes
    shift: Sizes

    @property
    def counts(self) -> Sizes:
        """Windows along each axis; the last ones may reach beyond the clip."""
        return _three(-(-length // side) for length, side in zip(self.grid, self.size, strict=True))

    @property
    def padded(self) -> Sizes:
        """Frames, rows and columns of the clip, filled up to whole windows."""
        return _three(count * side for count, side in zip(self.counts, self.size, strict=True))

    @property
    def count(self) -> int:
        """Number of windows of a clip."""
        return math.prod(self.counts)

    @property
    def tokens(self) -> int:
        """Tokens of a window."""
        return math.prod(self.size)


def clip_windows(grid: Sizes, window: Sizes, *, shifted: bool) -> ClipWindows:
    """Fits windows to a clip.

    Along an axis that a single window covers, the window is as long as the clip and not shifted.

    Args:
      grid: frames, rows and columns of tokens.
      window: wanted frames, rows and columns of a window.
      shifted: whether windows are shifted by half of their sides.

    Returns:
      The windows.
    """
    covered = [length <= side for length, side in zip(grid, window, strict=True)]
    return ClipWindows(
        grid=grid,
        size=_three(length if whole else side for length, side, whole in zip(grid, window, covered, strict=True)),
        shift=_three(side // 2 if shifted and not whole else 0 for side, whole in zip(window, covered, strict=True)),
    )


def split_windows(x: Float[Array, "b t h w c"], windows: ClipWindows) -> Float[Array, "b windows n c"]:
    """Cuts a clip into windows, one behind the other; places beyond the clip are zeros.

    Args:
      x: tokens.
      windows: places of the windows, as `clip_windows` makes them.

    Returns:
      The tokens of each window frame by frame, row by row.
    """
    batch, channels = x.shape[0], x.shape[-1]
    for axis, (length, end, shift) in enumerate(zip(windows.grid, windows.padded, windows.shift, strict=True), start=1):
        x = _shift_to_start(x, axis, length, end, shift)
    (frame_count, row_count, column_count), (frames, rows, columns) = windows.counts, windows.size
    # Columns stay beside channels: LiteRT transposes up to six axes.
    x = x.reshape(batch * frame_count, frames, row_count, rows, column_count, columns * channels)
    return x.transpose(0, 2, 4, 1, 3, 5).reshape(batch, windows.count, windows.tokens, channels)


def join_windows(x: Float[Array, "b windows n c"], windows: ClipWindows) -> Float[Array, "b t h w c"]:
    """Puts windows back in their places: undoes `split_windows`.

    Args:
      x: tokens of windows.
      windows: places of the windows, as `clip_windows` makes them.

    Returns:
      The tokens of the clip.
    """
    batch, channels = x.shape[0], x.shape[-1]
    (frame_count, row_count, column_count), (frames, rows, columns) = windows.counts, windows.size
    x = x.reshape(batch * frame_count, row_count, column_count, frames, rows, columns * channels)
    x = x.transpose(0, 3, 1, 4, 2, 5)
    x = x.reshape(batch, *windows.padded, channels)
    for axis, (length, shift) in enumerate(zip(windows.grid, windows.shift, strict=True), start=1):
        x = _shift_back(x, axis, length, shift)
    return x


@functools.lru_cache(maxsize=64)
def window_regions(windows: ClipWindows) -> Int[np.ndarray, "windows n"]:
    """Numbers the regions of a clip that shifted windows join: only tokens of one region attend to each other.

    Places beyond the clip belong to the region that they continue, and take part in it.

    Args:
      windows: places of the windows, as `clip_windows` makes them.

    Returns:
      The number of the region of every token of every window; 0 throughout where nothing is shifted.
    """
    regions = np.zeros(windows.padded, np.int32)
    for axis, (end, side, shift) in enumerate(zip(windows.padded, windows.size, windows.shift, strict=True)):
        if shift:
            places = np.arange(end)
            # 0 up to the last window, 1 in it, and 2 for what was moved there from the start.
            along = (places >= end - side).astype(np.int32) + (places >= end - shift)
            regions = 3 * regions + np.expand_dims(along, [each for each in range(3) if each != axis])
    return _split_places(regions, windows)


@functools.lru_cache(maxsize=64)
def places_in_clip(windows: ClipWindows) -> Bool[np.ndarray, "windows n"]:
    """Tells which tokens of the windows are of the clip, and not padding beyond its ends.

    Args:
      windows: places of the windows, as `clip_windows` makes them.
    """
    inside = np.zeros(windows.padded, bool)
    inside[tuple(slice(0, length) for length in windows.grid)] = True
    return _split_places(np.roll(inside, [-shift for shift in windows.shift], (0, 1, 2)), windows)


def relative_position_bias(
    table: Float[Array, "displacements heads"], window: Sizes, tokens: int
) -> Float[Array, "heads n n"]:
    """Reads the bias of every pair of a window's tokens off the table of displacements.

    A window that was fitted to a smaller clip takes the pairs of the first tokens of a whole window, in the order of
    that one. The published weights are so. If rows or columns are fewer, these are pairs of other displacements.

    Args:
      table: an entry for each displacement from key to query, in frames, rows and columns, each from `1 - side` up to
        `side - 1`, the last axis fastest.
      window: frames, rows and columns of a whole window.
      tokens: of the window at hand, `n`, no more than those of a whole one.

    Returns:
      For each head the bias of query `q` and key `k` at `[q, k]`.
    """
    (frames, rows, columns), heads = window, table.shape[1]
    area = rows * columns
    taken = -(-tokens // area)
    # Slices and reshapes and not a gather, whose gradient takes CPUs long, and which ONNX is not given.
    x = table.reshape(2 * frames - 1, 2 * rows - 1, 2 * columns - 1, heads)
    x = lax.slice_in_dim(x, frames - taken, frames + taken - 1, axis=0)
    x = _pairs(_pairs(x, 2, columns), 1, rows)
    # Axes are now displacements in frames; rows of keys, then of queries; columns of both; heads.
    x = x.transpose(0, 5, 2, 4, 1, 3).reshape(2 * taken - 1, heads, area, area)
    x = _pairs(x, 0, taken).transpose(2, 1, 3, 0, 4).reshape(heads, taken * area, taken * area)
    return lax.slice(x, (0, 0, 0), (heads, tokens, tokens))


def _pairs(x: Float[Array, "*displacements"], axis: int, side: int) -> Float[Array, "*pairs"]:
    """Replaces an axis of `2 * side - 1` displacements by one of keys and one of queries.

    Entry `q - k + side - 1` is then at key `k` and query `q`.

    A row that is repeated without end and cut into rows that are one shorter moves by one from row to row.
    """
    if side == 1:
        return jnp.expand_dims(x, axis)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    flat = x.reshape(math.prod(before), 1, 2 * side - 1, math.prod(after))
    flat = jnp.broadcast_to(flat, (flat.shape[0], side, *flat.shape[2:]))
    flat = flat.reshape(flat.shape[0], side * (2 * side - 1), flat.shape[3])
    shorter = 2 * side - 2
    flat = lax.slice_in_dim(flat, side - 1, side - 1 + side * shorter, axis=1)
    flat = flat.reshape(flat.shape[0], side, shorter, flat.shape[2])
    return lax.slice_in_dim(flat, 0, side, axis=2).reshape(*before, side, side, *after)


def _shift_to_start(x: Array, axis: int, length: int, end: int, shift: int) -> Array:
    """Fills an axis up to `end` with zeros, and moves what precedes `shift` behind everything."""
    if length == end and not shift:
        return x
    parts = [lax.slice_in_dim(x, shift, length, axis=axis)]
    if length < end:
        parts.append(jnp.zeros((*x.shape[:axis], end - length, *x.shape[axis + 1 :]), x.dtype))
    if shift:
        parts.append(lax.slice_in_dim(x, 0, shift, axis=axis))
    return jnp.concatenate(parts, axis=axis)


def _shift_back(x: Array, axis: int, length: int, shift: int) -> Array:
    """Undoes `_shift_to_start`."""
    end = x.shape[axis]
    rest = lax.slice_in_dim(x, 0, length - shift, axis=axis)
    if not shift:
        return rest
    return jnp.concatenate([lax.slice_in_dim(x, end - shift, end, axis=axis), rest], axis=axis)


def _split_places(places: np.ndarray, windows: ClipWindows) -> np.ndarray:
    """Cuts numbers of the places of a clip, filled up to whole windows, into windows."""
    (frame_count, row_count, column_count), (frames, rows, columns) = windows.counts, windows.size
    cut = places.reshape(frame_count, frames, row_count, rows, column_count, columns)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(windows.count, windows.tokens)


def _three(values: Iterable[int]) -> Sizes:
    first, second, third = values
    return first, second, third
