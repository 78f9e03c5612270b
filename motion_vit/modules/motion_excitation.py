"""Learned differences between neighbouring frames: the motion parts of TEA and TDN, for comparison with M2A's."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.frame_convolution import FrameConvolution
from motion_vit.modules.frame_depthwise_convolution import FrameDepthwiseConvolution
from motion_vit.ops.frame_convolution import halve_frames, resize_frames_nearest
from motion_vit.ops.frame_difference import neighbour_difference

Clips = Float[Array, "b t h w c"]


class MotionExcitation(nn.Module):
    """TEA's motion excitation as the M2A authors compare it: no pooling, no gate, no reduction of its own.

    `b = norm1(conv1 x)`, then `norm2(conv2(d))` of `d[t] = depthwise(b)[t + 1] - b[t]`, which is zero at the last frame
    (arXiv 2004.01398; `TEA` in `ops/sota.py` of gebob19/M2A).

    Attributes:
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Clips, *, train: bool = False) -> Clips:
        """Returns the motion at every frame; `train` as for BatchNorm."""
        channels = x.shape[-1]
        norm = functools.partial(BatchNorm, groups=self.batch_norm_groups, dtype=self.dtype)
        x = FrameConvolution(channels, 1, dtype=self.dtype, name="conv1")(x)
        x = norm(name="norm1")(x, train=train)
        neighbour = FrameDepthwiseConvolution(dtype=self.dtype, name="depthwise")(x)
        x = neighbour_difference(x, neighbour, offset=1)
        x = FrameConvolution(channels, 1, dtype=self.dtype, name="conv2")(x)
        return norm(name="norm2")(x, train=train)


class TemporalDifference(nn.Module):
    """TDN's long-term motion as the M2A authors compare it: differences to both neighbours, at three scales.

    The differences `d` to the next and to the previous frame are TEA's. Each gives
    `sigmoid(norm2(conv2((d + halved + full) / 3))) - 1/2`, with `halved` a 3 x 3 convolution of the frames at half the
    size and `full` one at the whole, both normalised; the output is the mean of the two (arXiv 2012.10071; `TDN` in
    `ops/sota.py` of gebob19/M2A). As released, `full` of the previous frame is a second pass over that of the next one,
    and not over the difference to the previous: the published comparison was made so.

    Attributes:
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Clips, *, train: bool = False) -> Clips:
        """Returns the motion at every frame; `train` as for BatchNorm.

        Raises:
          ValueError: frames have fewer than 2 x 2 positions and cannot be halved.
        """
        height, width, channels = x.shape[2:]
        if min(height, width) < 2:
            raise ValueError(f"TDN halves its frames: expected at least 2 x 2 positions, got {height} x {width}")

        def convolution(kernel_size: int, name: str) -> Callable[[Clips], Clips]:
            """Makes a convolution with normalised output."""
            convolve = FrameConvolution(channels, kernel_size, dtype=self.dtype, name=f"conv{name}")
            normalize = BatchNorm(groups=self.batch_norm_groups, dtype=self.dtype, name=f"norm{name}")
            return lambda x: normalize(convolve(x), train=train)

        x = convolution(1, "1")(x)
        neighbour = FrameDepthwiseConvolution(dtype=self.dtype, name="depthwise")(x)
        differences = [neighbour_difference(x, neighbour, offset=offset) for offset in (1, -1)]
        # Every kind for both in turn: the running statistics move in the authors' order.
        half = convolution(3, "_half")
        halves = [resize_frames_nearest(half(halve_frames(x)), height, width) for x in differences]
        full = convolution(3, "_full")
        full_of_next = full(differences[0])
        fulls = [full_of_next, full(full_of_next)]
        combine = convolution(1, "2")
        scales = zip(differences, halves, fulls, strict=True)
        to_next, to_previous = (nn.sigmoid(combine((x + half + full) / 3)) - 0.5 for x, half, full in scales)
        return (to_next + to_previous) / 2
