"""The layers of MobileNetV2 on every frame, with places for modules that mix frames."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.frame_convolution import FrameConvolution
from motion_vit.modules.frame_depthwise_convolution import FrameDepthwiseConvolution
from motion_vit.modules.motion_module import NO_MOTION, apply_motion_module, make_motion_module
from motion_vit.modules.stochastic_depth import StochasticDepth
from motion_vit.ops.relu6 import relu6
from motion_vit.ops.temporal_shift import temporal_shift

Clips = Float[Array, "b t h w c"]


class InvertedResidual(nn.Module):
    """A 1 x 1 expansion, a depthwise 3 x 3 convolution and a 1 x 1 projection, each normalised (arXiv 1801.04381).

    ReLU6 follows the first two; the projection is linear. The input is added where the output has its shape. Modules
    that mix frames begin the branch there, and the shortcut goes around them: `archs/mobilenet_v2.py` and
    `ops/models.py` of gebob19/M2A, and of mit-han-lab/temporal-shift-module.

    Attributes:
      features: output channels.
      stride: distance of the output positions.
      expansion: channels of the depthwise convolution over those of the input; 1 has no 1 x 1 convolution before it.
      motion_module: applied before the expansion; see `motion_vit.modules.motion_module`.
      shift: whether channels are shifted to neighbouring frames before the expansion.
      freeze_norm: whether training leaves the BatchNorms as they are; those of the motion module are trained.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    features: int
    stride: int = 1
    expansion: int = 6
    motion_module: str = NO_MOTION
    shift: bool = False
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Clips, stochastic_depth: float | Float[Array, ""] = 0.0, *, train: bool = False
    ) -> Float[Array, "b t h2 w2 c2"]:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: features.
          stochastic_depth: probability of skipping the residual branch of an example in training; without effect where
            there is no shortcut.
          train: whether to drop, and to normalise by the statistics of this batch.

        Returns:
          Features `[b, t, h / stride, w / stride, c2]`.
        """
        channels = x.shape[-1]
        motion = make_motion_module(
            self.motion_module, dtype=self.dtype, batch_norm_groups=self.batch_norm_groups, name="motion"
        )
        y = apply_motion_module(motion, x, train=train)
        if self.shift:
            y = temporal_shift(y)
        if self.expansion > 1:
            y = _pointwise(self.expansion * channels, self.dtype, "expand")(y)
            y = relu6(self._norm("expand_norm")(y, train=train))
        depthwise = FrameDepthwiseConvolution(
            3, self.stride, initializers.residual_depthwise_kernel, self.dtype, name="depthwise"
        )
        y = relu6(self._norm("depthwise_norm")(depthwise(y), train=train))
        y = _pointwise(self.features, self.dtype, "project")(y)
        y = self._norm("project_norm")(y, train=train)
        if not has_shortcut(channels, self.features, self.stride):
            return y
        return x + StochasticDepth()(y, stochastic_depth, train=train)

    def _norm(self, name: str) -> BatchNorm:
        return BatchNorm(groups=self.batch_norm_groups, frozen=self.freeze_norm, dtype=self.dtype, name=name)


def has_shortcut(inputs: int, outputs: int, stride: int) -> bool:
    """Tells if a block adds its input to its output.

    Args:
      inputs: input channels.
      outputs: output channels.
      stride: distance of the output positions.
    """
    return stride == 1 and inputs == outputs


class ConvolutionUnit(nn.Module):
    """A normalised convolution with ReLU6: the first and the last layer of MobileNetV2.

    Attributes:
      features: output channels.
      kernel_size: side of the kernel, odd.
      stride: distance of the output positions.
      freeze_norm: whether training leaves the BatchNorm as it is.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    features: int
    kernel_size: int = 1
    stride: int = 1
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Clips, *, train: bool = False) -> Float[Array, "b t h2 w2 c2"]:
        """Applies the layers; `train` as for BatchNorm."""
        convolution = FrameConvolution(
            self.features, self.kernel_size, self.stride, initializers.residual_kernel, self.dtype, name="conv"
        )
        norm = BatchNorm(groups=self.batch_norm_groups, frozen=self.freeze_norm, dtype=self.dtype, name="norm")
        return relu6(norm(convolution(x), train=train))


def _pointwise(features: int, dtype: DTypeLike, name: str) -> FrameConvolution:
    return FrameConvolution(features, 1, 1, initializers.residual_kernel, dtype, name=name)
