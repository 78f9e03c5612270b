"""Two-dimensional convolution of every frame of a clip, and changes of the frames' size."""

import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from motion_vit.ops.nearest_resize import nearest_indices
from motion_vit.ops.padding import Padding, edge_padding
from motion_vit.ops.platform import likely_platform

Video = Float[Array, "b t h w c"]
Kernel = Float[Array, "kh kw c features"]
Output = Float[Array, "b t h2 w2 features"]
Edges = tuple[tuple[int, int], ...]
"""Zeros in front of and behind the rows, and the columns."""


def frame_convolution(x: Video, kernel: Kernel, *, stride: int = 1, padding: Padding = "half") -> Output:
    """Convolves each frame with zero padding, by default as PyTorch's `Conv2d(padding=k // 2)` does.

    Frames are folded into the batch, except for the platform "portable" (`motion_vit.ops.platform`), the target of
    programs that split frames over devices. There frames keep an axis of their own: devices that hold parts of the
    clips and parts of their frames hold no contiguous part of the two together.

    Args:
      x: clips.
      kernel: kernel of odd sides.
      stride: distance of the output positions in both directions.
      padding: see `motion_vit.ops.padding`.

    Returns:
      Clips of `ceil(h / stride)` rows and `ceil(w / stride)` columns, in the dtype of `x`.
    """
    rows, columns, channels, features = kernel.shape
    # LiteRT refuses products with several leading axes of length 1.
    single = likely_platform() == "litert" and x.shape[1:4] == (1, 1, 1)
    if rows == columns == 1 and not single:
        # XLA's convolution on CPU takes longer than the product of matrices that this is.
        x = lax.slice(x, (0, 0, 0, 0, 0), x.shape, (1, 1, stride, stride, 1))
        batch = x.shape[:-1]
        if likely_platform() == "cpu":
            x = x.reshape(-1, x.shape[-1])
        return (x @ kernel.reshape(kernel.shape[2:])).reshape(*batch, features)
    edges = tuple(edge_padding(x.shape[axis], kernel.shape[axis - 2], stride, padding) for axis in (2, 3))
    high, wide = (-(-size // stride) for size in x.shape[2:4])
    if likely_platform() == "cpu" and (high < rows or wide < columns):
        return _convolve_patches(x, kernel, stride, edges)
    if likely_platform() == "cpu" and features > channels:
        return _convolve_with_gradient_by_rows(x, kernel, stride, edges)
    if likely_platform() == "portable":
        layout = ("NDHWC", "DHWIO", "NDHWC")
        strides = (1, stride, stride)
        return lax.conv_general_dilated(x, kernel[None], strides, [(0, 0), *edges], dimension_numbers=layout)
    return _convolve(x, kernel, stride, edges)


def _convolve(x: Video, kernel: Kernel, stride: int, edges: Edges) -> Output:
    """Convolves by XLA's convolution of images."""
    frames = x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
    y = lax.conv_general_dilated(frames, kernel, (stride, stride), edges, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y.reshape(*x.shape[:2], *y.shape[1:])


def _convolve_patches(x: Video, kernel: Kernel, stride: int, edges: Edges) -> Output:
    """Convolves by one matrix product, of overlapping patches.

    Where the output is smaller than the kernel, XLA's convolution on CPU or its gradient is a loop over single numbers.
    It takes eighty times as long (512 channels on 2 x 2 positions, 16 frames: 600 ms instead of 7 ms).
    """
    patches = jnp.concatenate(list(_taps(x, kernel.shape[0], kernel.shape[1], stride, edges)), axis=-1)
    product = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return product.reshape(*patches.shape[:-1], kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_with_gradient_by_rows(x: Video, kernel: Kernel, stride: int, edges: Edges) -> Output:
    """Convolves by XLA's convolution; the kernel's gradient is one matrix product for each of its rows.

    On CPU, XLA's own gradient of the kernel is a convolution by a kernel as large as the frame. Where outputs have more
    channels than inputs, it takes nearly twice as long, else it is as fast or faster. From 64 to 144 channels on 16
    frames of 56 x 56, the processor takes 420 ms instead of 233 ms.
    """
    return _convolve(x, kernel, stride, edges)


def _forward(x: Video, kernel: Kernel, stride: int, edges: Edges) -> tuple[Output, tuple[Video, Kernel]]:
    return _convolve(x, kernel, stride, edges), (x, kernel)


def _backward(stride: int, edges: Edges, inputs: tuple[Video, Kernel], cotangent: Output) -> tuple[Video, Kernel]:
    x, kernel = inputs
    _, pull_back = jax.vjp(lambda x: _convolve(x, kernel, stride, edges), x)
    rows, columns, _, features = kernel.shape
    taps = list(_taps(x, rows, columns, stride, edges))
    of_outputs = cotangent.reshape(-1, features)
    gradients = []
    for row in range(rows):
        patches = jnp.concatenate(taps[row * columns : (row + 1) * columns], axis=-1)
        gradients.append(patches.reshape(-1, patches.shape[-1]).T @ of_outputs)
    return *pull_back(cotangent), jnp.stack(gradients).reshape(kernel.shape)


_convolve_with_gradient_by_rows.defvjp(_forward, _backward)


def _taps(x: Video, rows: int, columns: int, stride: int, edges: Edges) -> Iterator[Float[Array, "b t h2 w2 c"]]:
    """Shifts the zero-padded frames, for every entry of a kernel by what it sees of them, row by row."""
    high, wide = (-(-size // stride) for size in x.shape[2:4])
    padded = jnp.pad(x, [(0, 0), (0, 0), *edges, (0, 0)])
    for row, column in itertools.product(range(rows), range(columns)):
        start = (0, 0, row, column, 0)
        stop = (*x.shape[:2], row + stride * (high - 1) + 1, column + stride * (wide - 1) + 1, x.shape[-1])
        yield lax.slice(padded, start, stop, (1, 1, stride, stride, 1))


def halve_frames(x: Video) -> Float[Array, "b t h2 w2 c"]:
    """Averages 2 x 2 positions; ignores a last odd row or column (PyTorch's `AvgPool2d(2)`).

    Args:
      x: clips of at least 2 x 2 positions.

    Returns:
      Clips of `h // 2` rows and `w // 2` columns.
    """
    for axis in (2, 3):
        length = x.shape[axis] // 2 * 2
        even, odd = (lax.slice_in_dim(x, first, length, 2, axis=axis) for first in (0, 1))
        x = (even + odd) / 2
    return x


def resize_frames_nearest(x: Video, height: int, width: int) -> Float[Array, "b t height width c"]:
    """Enlarges frames: position `i` of `n` takes the value of `floor(i * m / n)` (PyTorch's `interpolate`).

    Args:
      x: clips.
      height: rows of the result, at least those of `x`.
      width: columns of the result, at least those of `x`.

    Returns:
      Clips of that size.
    """
    for axis, size in ((2, height), (3, width)):
        sources = nearest_indices(x.shape[axis], size)
        x = _repeat(x, axis, [sources.count(source) for source in range(x.shape[axis])])
    return x


def _repeat(x: Video, axis: int, counts: list[int]) -> Float[Array, "b t h2 w2 c"]:
    """Repeats each position as its count says, by copying runs of equal counts, because gathers are slow."""
    pieces = []
    start = 0
    while start < len(counts):
        stop = start + 1
        while stop < len(counts) and counts[stop] == counts[start]:
            stop += 1
        piece = jnp.expand_dims(lax.slice_in_dim(x, start, stop, axis=axis), axis + 1)
        repeated = jnp.broadcast_to(piece, (*piece.shape[: axis + 1], counts[start], *piece.shape[axis + 2 :]))
        pieces.append(repeated.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :]))
        start = stop
    return jnp.concatenate(pieces, axis=axis)
