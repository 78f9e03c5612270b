"""Max pooling of every frame of a clip, of pairs of frames, and over neighbouring frames."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from motion_vit.ops.padding import edge_padding
from motion_vit.ops.platform import likely_platform

Video = Float[Array, "b t h w c"]
Pooled = Float[Array, "b t h2 w2 c"]


def max_pool_frames(x: Video) -> Pooled:
    """Takes the largest of 3 x 3 positions around every second one, as PyTorch's `MaxPool2d(3, 2, padding=1)`.

    On CPU the gradient uses shifted maxima instead of XLA's scatter, which takes three times as long (8 frames of 112 x
    112 x 64 on two busy cores, both passes: 424 ms instead of 120 ms). Equal largest positions share the gradient
    there; elsewhere the first takes it, as in PyTorch. Behind a ReLU, which gives zeros no gradient, this matters only
    for equal positive values.

    Args:
      x: clips.

    Returns:
      Clips of `ceil(h / 2)` rows and `ceil(w / 2)` columns.
    """
    return _pool_with_shifted_gradient(x) if likely_platform() == "cpu" else _pool(x)


def max_pool_frame_pairs(x: Video) -> Float[Array, "b t2 h w c"]:
    """Takes the larger of frames 0 and 1, 2 and 3, and so on, as PyTorch's `MaxPool3d((2, 1, 1))`.

    Equal values share the gradient; PyTorch gives it to the earlier frame.

    Args:
      x: clips of two frames or more.

    Returns:
      Clips of `t // 2` frames; a last odd one is left out.
    """
    length = x.shape[1] // 2 * 2
    even, odd = (lax.slice_in_dim(x, first, length, 2, axis=1) for first in (0, 1))
    return jnp.maximum(even, odd)


def max_pool_clips(
    x: Video, window: tuple[int, int, int], strides: tuple[int, int, int]
) -> Float[Array, "b t2 h2 w2 c"]:
    """Takes the largest position of every window, with TensorFlow's padding "same" of minus infinity.

    On CPU and in LiteRT it is made of maxima of shifted frames, rows and columns. XLA's window there takes up to nine
    times as long, and its gradient six (8 frames of 28 x 28 x 256, one core: 46 ms and 316 ms instead of 5 ms and 54
    ms). Equal largest positions share the gradient then; elsewhere the first takes it, as in PyTorch.

    Args:
      x: clips.
      window: frames, rows and columns of a window.
      strides: distance of neighbouring windows in frames, rows and columns.

    Returns:
      Clips of `ceil(t / strides[0])` frames, `ceil(h / strides[1])` rows and `ceil(w / strides[2])` columns.
    """
    if likely_platform() not in ("cpu", "litert"):
        edges = [
            edge_padding(size, side, stride, "same")
            for size, side, stride in zip(x.shape[1:4], window, strides, strict=True)
        ]
        padding = [(0, 0), *edges, (0, 0)]
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), padding)
    for axis, side, stride in zip((1, 2, 3), window, strides, strict=True):
        x = _pool_axis(x, axis, side, stride, edge_padding(x.shape[axis], side, stride, "same"))
    return x


def _pool_axis(x: Video, axis: int, side: int, stride: int, edges: tuple[int, int]) -> Float[Array, "b t2 h2 w2 c"]:
    """Takes the maxima of `side` neighbours along an axis, one for every `stride`-th."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (*edges, 0)
    padded = lax.pad(x, jnp.asarray(-jnp.inf, x.dtype), padding)
    last = (padded.shape[axis] - side) // stride * stride
    shifted = (lax.slice_in_dim(padded, tap, tap + last + 1, stride, axis=axis) for tap in range(side))
    return functools.reduce(jnp.maximum, shifted)


def _pool(x: Video) -> Pooled:
    padding = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)]
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 3, 3, 1), (1, 1, 2, 2, 1), padding)


def _pool_by_shifts(x: Video) -> Pooled:
    """Pools by maxima of shifted rows, then of shifted columns."""
    for axis in (2, 3):
        x = _pool_axis(x, axis, 3, 2, (1, 1))
    return x


@jax.custom_vjp
def _pool_with_shifted_gradient(x: Video) -> Pooled:
    return _pool(x)


def _forward(x: Video) -> tuple[Pooled, Video]:
    return _pool(x), x


def _backward(x: Video, cotangent: Pooled) -> tuple[Video]:
    _, pull_back = jax.vjp(_pool_by_shifts, x)
    (gradient,) = pull_back(cotangent)
    return (gradient,)


_pool_with_shifted_gradient.defvjp(_forward, _backward)
