"""The parts of an inflated Inception-V1: its convolutions, and blocks of four branches (arXiv 1705.07750)."""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.clip_convolution import ClipConvolution
from motion_vit.modules.motion_module import apply_motion_module, make_motion_module
from motion_vit.ops.max_pool import max_pool_clips

Clips = Float[Array, "b t h w c"]


class MixedWidths(NamedTuple):
    """Output channels of the convolutions of a `MixedBlock`, by the names that they have there."""

    b0: int
    b1a: int
    b1b: int
    b2a: int
    b2b: int
    b3b: int


class ConvolutionUnit(nn.Module):
    """A convolution over frames, rows and columns with TensorFlow's padding, BatchNorm and ReLU.

    Attributes:
      features: output channels.
      kernel_size: frames, rows and columns of the kernel, odd.
      stride: distance of the outputs in all three directions.
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
    def __call__(self, x: Clips, *, train: bool = False) -> Float[Array, "b t2 h2 w2 features"]:
        """Applies the layers."""
        convolution = ClipConvolution(
            self.features,
            kernel_frames=self.kernel_size,
            kernel_size=self.kernel_size,
            stride=self.stride,
            temporal_stride=self.stride,
            padding="same",
            kernel_init=initializers.fan_in_kernel,
            dtype=self.dtype,
            name="conv",
        )
        norm = BatchNorm(
            momentum=0.99,
            epsilon=1e-3,
            groups=self.batch_norm_groups,
            frozen=self.freeze_norm,
            dtype=self.dtype,
            name="norm",
        )
        return nn.relu(norm(convolution(x), train=train))


class MixedBlock(nn.Module):
    """Four branches side by side: 1x1x1; twice 1x1x1 and 3x3x3; and the largest of 3x3x3 positions, then 1x1x1.

    The branches with 3x3x3 convolutions (`b1a`, `b1b` and `b2a`, `b2b`, the second of which was 5x5 in Inception-V1)
    see the features behind the motion module, the other two (`b0`, `b3b`) those before it, as a residual block's
    shortcut does.

    Attributes:
      widths: output channels of the convolutions.
      motion_module: applied before the branches with 3x3x3 convolutions; see `motion_vit.modules.motion_module`.
      freeze_norm: whether training leaves the BatchNorms as they are; those of the motion module are trained.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    widths: MixedWidths
    motion_module: str = "none"
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Clips, *, train: bool = False) -> Float[Array, "b t h w c2"]:
        """Applies the block.

        Args:
          x: features, none of them negative.
          train: whether to normalise by the statistics of this batch.

        Returns:
          The branches' features, one behind the other in the order of their names.
        """
        motion = make_motion_module(
            self.motion_module, dtype=self.dtype, batch_norm_groups=self.batch_norm_groups, name="motion"
        )
        moving = apply_motion_module(motion, x, train=train)

        def unit(name: str, x: Clips, kernel_size: int = 1) -> Float[Array, "b t h w features"]:
            layer = ConvolutionUnit(
                getattr(self.widths, name),
                kernel_size,
                freeze_norm=self.freeze_norm,
                batch_norm_groups=self.batch_norm_groups,
                dtype=self.dtype,
                name=name,
            )
            return layer(x, train=train)

        branches = [
            unit("b0", x),
            unit("b1b", unit("b1a", moving), 3),
            unit("b2b", unit("b2a", moving), 3),
            unit("b3b", max_pool_clips(x, (3, 3, 3), (1, 1, 1))),
        ]
        return jnp.concatenate(branches, axis=-1)
