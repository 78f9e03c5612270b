"""Depthwise 3D convolution with learned kernels."""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.ops import depthwise_conv3d


class DepthwiseConv3D(nn.Module):
    """One kernel per channel over frames, rows and columns, with zero padding of half the kernel.

    Attributes:
      kernel_size: side of the kernel, odd, or its frames, rows and columns.
      stride: distance of the output positions, in rows and columns; frames keep their number.
      heads: equal runs of channels that share their kernels; divides the channels.
      use_bias: whether there is a bias per channel.
      kernel_init: initialiser of the kernel `[frames, rows, columns, channels]`.
      dtype: dtype of the computation; parameters are float32.
      implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    kernel_size: int | tuple[int, int, int]
    stride: int = 1
    heads: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = initializers.depthwise_kernel
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 c"]:
        """Convolves `x`.

        Raises:
          ValueError: the heads do not divide the channels.
        """
        channels = channels_of_head(x.shape[-1], self.heads)
        kernel = self.param("kernel", self.kernel_init, (*self._kernel_sizes(), channels))
        dtype = computation_dtype(self.dtype)
        # Repeated, and not the heads folded into the batch: no activation is transposed.
        kernel = self._of_every_head(kernel.astype(dtype))
        y = depthwise_conv3d.depthwise_conv3d(
            x.astype(dtype), kernel, stride=self.stride, implementation=self.implementation
        )
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        return y + self._of_every_head(bias.astype(dtype)).reshape(1, 1, 1, 1, -1)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        batch, frames, height, width, channels = x.shape
        positions = batch * frames * -(-height // self.stride) * -(-width // self.stride)
        return positions * channels * math.prod(self._kernel_sizes())

    def _of_every_head(self, weights: Float[Array, "*taps c"]) -> Float[Array, "*taps heads_c"]:
        # Not `jnp.tile`, which some formats of exported programs do not know.
        return jnp.concatenate([weights] * self.heads, axis=-1)

    def _kernel_sizes(self) -> tuple[int, int, int]:
        return (self.kernel_size,) * 3 if isinstance(self.kernel_size, int) else self.kernel_size
