"""The blocks of a ResNet, on every frame or over time, with places for modules that mix frames."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.clip_convolution import ClipConvolution
from motion_vit.modules.factorized_convolution import FactorizedConvolution, middle_features
from motion_vit.modules.frame_convolution import FrameConvolution
from motion_vit.modules.motion_module import apply_motion_module, make_motion_module
from motion_vit.modules.stochastic_depth import StochasticDepth
from motion_vit.ops.max_pool import max_pool_frames
from motion_vit.ops.temporal_shift import temporal_shift

Clips = Float[Array, "b t h w c"]

BOTTLENECK_EXPANSION = 4
"""Output channels of a bottleneck over its inner ones."""

SpanningConvolutions = Literal["first", "all", "factorized"]
"""Which convolutions of a block span several frames: the first one, all that are 3 x 3, or all that are 3 x 3, each as
a convolution of frames and one over time."""


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, or a bottleneck of 1 x 1, 3 x 3 and 1 x 1, normalised and residual (arXiv 1512.03385).

    As in torchvision, a bottleneck's stride is in its 3 x 3 convolution. The branch begins with the motion module and
    the temporal shift, where `make_temporal_shift` of gebob19/M2A places them; the shortcut bypasses them. With a first
    convolution over several frames it is the block of SlowFast and I3D (arXiv 1812.03982), with all of them that of R3D
    and R(2+1)D (arXiv 1711.11248; `models/video/resnet.py` of torchvision).

    Attributes:
      features: inner channels; the output has four times as many in a bottleneck, else the same.
      stride: distance of the output positions.
      temporal_stride: distance of the output frames, in input frames. It is where `stride` is.
      bottleneck: whether the block is a bottleneck.
      kernel_frames: frames, an odd number, that the spanning convolutions span.
      spanning: which convolutions these are. All factorized ones have the middle channels of the first.
      zero_scale: whether the last BatchNorm starts with a scale of 0, so that the block starts as its shortcut.
      motion_module: applied before the first convolution; see `motion_vit.modules.motion_module`.
      shift: whether channels are shifted to neighbouring frames before the first convolution.
      freeze_norm: whether training leaves the BatchNorms as they are; those of the motion module are trained.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    features: int
    stride: int = 1
    temporal_stride: int = 1
    bottleneck: bool = False
    kernel_frames: int = 1
    spanning: SpanningConvolutions = "first"
    zero_scale: bool = False
    motion_module: str = "none"
    shift: bool = False
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Clips, stochastic_depth: float | Float[Array, ""] = 0.0, *, train: bool = False
    ) -> Float[Array, "b t2 h2 w2 c2"]:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: features.
          stochastic_depth: probability of skipping the residual branch of an example in training.
          train: whether to drop, and to normalise by the statistics of this batch.

        Returns:
          Features `[b, t / temporal_stride, h / stride, w / stride, c2]`.
        """
        motion = make_motion_module(
            self.motion_module, dtype=self.dtype, batch_norm_groups=self.batch_norm_groups, name="motion"
        )
        y = apply_motion_module(motion, x, train=train)
        if self.shift:
            y = temporal_shift(y)
        # Kernel size, strides and features of each convolution.
        wide = (3, self.stride, self.temporal_stride, self.features)
        layers = [wide, (3, 1, 1, self.features)]
        if self.bottleneck:
            layers = [(1, 1, 1, self.features), wide, (1, 1, 1, BOTTLENECK_EXPANSION * self.features)]
        middle = middle_features(x.shape[-1], self.features, kernel_frames=self.kernel_frames)
        for number, (kernel_size, stride, temporal_stride, features) in enumerate(layers, start=1):
            y = nn.relu(y) if number > 1 else y
            name = f"conv{number}"
            if self.spanning == "factorized" and kernel_size == 3:
                y = FactorizedConvolution(
                    *(features, middle, self.kernel_frames, kernel_size, stride, temporal_stride),
                    *(self.freeze_norm, self.batch_norm_groups, self.dtype),
                    name=name,
                )(y, train=train)
            else:
                spans = kernel_size == 3 if self.spanning == "all" else number == 1
                frames = self.kernel_frames if spans else 1
                y = _convolution(features, kernel_size, stride, frames, self.dtype, name, temporal_stride)(y)
            starts_silent = self.zero_scale and number == len(layers)
            y = self._norm(f"norm{number}", nn.initializers.zeros if starts_silent else nn.initializers.ones)(
                y, train=train
            )
        if self.stride > 1 or self.temporal_stride > 1 or x.shape[-1] != y.shape[-1]:
            # A slice and not indexing, which becomes a gather where the batch is symbolic.
            x = lax.slice_in_dim(x, 0, None, self.temporal_stride, axis=1)
            x = _convolution(y.shape[-1], 1, self.stride, 1, self.dtype, "shortcut_conv")(x)
            x = self._norm("shortcut_norm")(x, train=train)
        return nn.relu(x + StochasticDepth()(y, stochastic_depth, train=train))

    def _norm(self, name: str, scale_init: nn.initializers.Initializer = nn.initializers.ones) -> BatchNorm:
        return BatchNorm(
            groups=self.batch_norm_groups,
            frozen=self.freeze_norm,
            scale_init=scale_init,
            dtype=self.dtype,
            name=name,
        )


class ResidualStem(nn.Module):
    """The stem of a ResNet: a normalised 7 x 7 convolution, and pooling to a quarter of the size.

    Attributes:
      features: output channels.
      kernel_frames: frames, an odd number, that the convolution spans.
      middle_features: channels between its two steps, where it is a `FactorizedConvolution`; None where it is not.
      max_pool: whether there is the pooling; without it, the size is halved.
      freeze_norm: whether training leaves the BatchNorm as it is.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    features: int
    kernel_frames: int = 1
    middle_features: int | None = None
    max_pool: bool = True
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w colours"], *, train: bool = False) -> Float[Array, "b t h2 w2 c"]:
        """Applies the layers; frames keep their number."""
        if self.middle_features is None:
            x = _convolution(self.features, 7, 2, self.kernel_frames, self.dtype, "conv")(clips)
        else:
            x = FactorizedConvolution(
                *(self.features, self.middle_features, self.kernel_frames, 7, 2),
                freeze_norm=self.freeze_norm,
                batch_norm_groups=self.batch_norm_groups,
                dtype=self.dtype,
                name="conv",
            )(clips, train=train)
        norm = BatchNorm(groups=self.batch_norm_groups, frozen=self.freeze_norm, dtype=self.dtype, name="norm")
        x = nn.relu(norm(x, train=train))
        return max_pool_frames(x) if self.max_pool else x


def _convolution(
    features: int,
    kernel_size: int,
    stride: int,
    frames: int,
    dtype: DTypeLike,
    name: str,
    temporal_stride: int = 1,
) -> FrameConvolution | ClipConvolution:
    """Makes a convolution of every frame, or of `frames` neighbouring ones of which some are left out."""
    init = initializers.residual_kernel
    if frames == temporal_stride == 1:
        return FrameConvolution(features, kernel_size, stride, kernel_init=init, dtype=dtype, name=name)
    return ClipConvolution(
        *(features, frames, kernel_size, stride, temporal_stride), kernel_init=init, dtype=dtype, name=name
    )
