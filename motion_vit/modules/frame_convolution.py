"""Two-dimensional convolution of every frame."""

import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.ops.frame_convolution import frame_convolution
from motion_vit.ops.kept_activations import LINEAR_OUTPUT


class FrameConvolution(nn.Module):
    """A convolution of each frame with zero padding of half the kernel, without bias.

    Attributes:
      features: output channels.
      kernel_size: side of the kernel, odd.
      stride: distance of the output positions.
      kernel_init: initialiser of the kernel `[rows, columns, channels, features]`.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    kernel_init: nn.initializers.Initializer = initializers.convolution_kernel
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 features"]:
        """Convolves `x`."""
        kernel = self.param("kernel", self.kernel_init, (*(self.kernel_size,) * 2, x.shape[-1], self.features))
        dtype = computation_dtype(self.dtype)
        output = frame_convolution(x.astype(dtype), kernel.astype(dtype), stride=self.stride)
        return checkpoint_name(output, LINEAR_OUTPUT)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        batch, frames, height, width, channels = x.shape
        positions = batch * frames * -(-height // self.stride) * -(-width // self.stride)
        return positions * self.kernel_size**2 * channels * self.features
