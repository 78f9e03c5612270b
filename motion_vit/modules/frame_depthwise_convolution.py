"""Depthwise two-dimensional convolution of every frame, with learned kernels."""

import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.ops.depthwise_frame_convolution import depthwise_frame_convolution
from motion_vit.ops.kept_activations import LINEAR_OUTPUT


class FrameDepthwiseConvolution(nn.Module):
    """One `k x k` kernel per channel, over the positions of each frame; zero padding of half the kernel, no bias.

    Attributes:
      kernel_size: side `k` of the kernel, odd.
      stride: distance of the output positions.
      kernel_init: initialiser of the kernel `[1, rows, columns, channels]`.
      dtype: dtype of the computation; parameters are float32.
    """

    kernel_size: int = 3
    stride: int = 1
    kernel_init: nn.initializers.Initializer = initializers.depthwise_kernel
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 c"]:
        """Convolves `x`."""
        shape = (1, self.kernel_size, self.kernel_size, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape)
        dtype = computation_dtype(self.dtype)
        output = depthwise_frame_convolution(x.astype(dtype), kernel.astype(dtype), stride=self.stride)
        return checkpoint_name(output, LINEAR_OUTPUT)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        batch, frames, height, width, channels = x.shape
        positions = batch * frames * -(-height // self.stride) * -(-width // self.stride)
        return positions * self.kernel_size**2 * channels
