"""Convolution over neighbouring frames."""

import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.ops.clip_convolution import clip_convolution
from motion_vit.ops.kept_activations import LINEAR_OUTPUT
from motion_vit.ops.padding import Padding


class ClipConvolution(nn.Module):
    """A convolution over frames, rows and columns with zero padding.

    Attributes:
      features: output channels.
      kernel_frames: frames of the kernel, odd.
      kernel_size: rows and columns of the kernel, odd.
      stride: distance of the output positions.
      temporal_stride: distance of the output frames, in input frames.
      use_bias: whether there is a bias, which starts at zero.
      padding: see `motion_vit.ops.padding`.
      pad_frames: whether frames are added in front and behind, too; without, `kernel_frames - 1` frames are lost.
      kernel_init: initialiser of the kernel `[frames, rows, columns, channels, features]`.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_frames: int = 3
    kernel_size: int = 1
    stride: int = 1
    temporal_stride: int = 1
    use_bias: bool = False
    padding: Padding = "half"
    pad_frames: bool = True
    kernel_init: nn.initializers.Initializer = initializers.convolution_kernel
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2 features"]:
        """Convolves `x`."""
        shape = (self.kernel_frames, self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        dtype = computation_dtype(self.dtype)
        output = clip_convolution(
            x.astype(dtype),
            kernel.astype(dtype),
            stride=self.stride,
            temporal_stride=self.temporal_stride,
            padding=self.padding,
            pad_frames=self.pad_frames,
        )
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            output = output + bias.astype(dtype).reshape(1, 1, 1, 1, self.features)
        return checkpoint_name(output, LINEAR_OUTPUT)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        batch, frames, height, width, channels = x.shape
        if not self.pad_frames:
            frames -= self.kernel_frames - 1
        positions = batch * -(-frames // self.temporal_stride) * -(-height // self.stride) * -(-width // self.stride)
        return positions * self.kernel_frames * self.kernel_size**2 * channels * self.features
