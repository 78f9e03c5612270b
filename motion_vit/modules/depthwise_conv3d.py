"""Depthwise 3D convolution with learned kernels."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.ops import depthwise_conv3d


class DepthwiseConv3D(nn.Module):
    """One `k x k x k` kernel and bias per channel; at stride 1 the size is kept.

    Attributes:
      kernel_size: side `k` of the kernel, odd.
      stride: distance of the output rows, and columns.
      heads: equal runs of channels that share their kernels; divides the channels.
      use_bias: whether there is a bias.
      dtype: dtype of the computation; parameters are float32.
      implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    kernel_size: int
    stride: int = 1
    heads: int = 1
    use_bias: bool = True
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 c"]:
        """Convolves `x`.

        Raises:
          ValueError: the heads do not divide the channels.
        """
        channels = channels_of_head(x.shape[-1], self.heads)
        kernel = self.param("kernel", initializers.depthwise_kernel, (self.kernel_size,) * 3 + (channels,))
        dtype = computation_dtype(self.dtype)
        # Repeated, and not the heads folded into the batch: no activation is transposed.
        kernel = self._of_every_head(kernel.astype(dtype))
        x = depthwise_conv3d.depthwise_conv3d(
            x.astype(dtype), kernel, stride=self.stride, implementation=self.implementation
        )
        if not self.use_bias:
            return x
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        return x + self._of_every_head(bias.astype(dtype)).reshape(1, 1, 1, 1, -1)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        rows, columns = (-(-size // self.stride) for size in x.shape[2:4])
        return x.shape[0] * x.shape[1] * rows * columns * x.shape[4] * self.kernel_size**3

    def _of_every_head(self, weights: Float[Array, "*taps c"]) -> Float[Array, "*taps heads_c"]:
        # Not `jnp.tile`, which formats of exported programs do not know.
        return jnp.concatenate([weights] * self.heads, axis=-1)
