"""Convolution of a clip in two steps, first within frames and then over time: "(2+1)D"."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.clip_convolution import ClipConvolution
from motion_vit.modules.frame_convolution import FrameConvolution


class FactorizedConvolution(nn.Module):
    """A convolution of every frame, normalised and rectified, and then one over time at every position.

    Source: arXiv 1711.11248, section 3.5; `Conv2Plus1D` of torchvision's `models/video/resnet.py`. Neither has a bias.

    Attributes:
      features: output channels.
      middle_features: channels between the two; see `middle_features`.
      kernel_frames: frames, an odd number, that the second one spans.
      kernel_size: rows and columns, odd, that the first one spans.
      stride: distance of the output positions.
      temporal_stride: distance of the output frames, in input frames.
      freeze_norm: whether training leaves the BatchNorm between them as it is.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    features: int
    middle_features: int
    kernel_frames: int = 3
    kernel_size: int = 3
    stride: int = 1
    temporal_stride: int = 1
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool = False) -> Float[Array, "b t2 h2 w2 features"]:
        """Convolves `x`; `train` says whether to normalise by the statistics of this batch."""
        init = initializers.residual_kernel
        spatial = FrameConvolution(
            *(self.middle_features, self.kernel_size, self.stride), kernel_init=init, dtype=self.dtype, name="spatial"
        )
        norm = BatchNorm(groups=self.batch_norm_groups, frozen=self.freeze_norm, dtype=self.dtype, name="norm")
        temporal = ClipConvolution(
            *(self.features, self.kernel_frames),
            temporal_stride=self.temporal_stride,
            kernel_init=init,
            dtype=self.dtype,
            name="temporal",
        )
        return temporal(nn.relu(norm(spatial(x), train=train)))


def middle_features(channels: int, features: int, *, kernel_frames: int = 3, kernel_size: int = 3) -> int:
    """Computes for how many middle channels the two steps have about as many weights as one convolution (section 3.5).

    Args:
      channels: input channels.
      features: output channels.
      kernel_frames: frames that the two span together.
      kernel_size: rows and columns of the kernel.
    """
    area = kernel_size**2
    return kernel_frames * area * channels * features // (area * channels + kernel_frames * features)
