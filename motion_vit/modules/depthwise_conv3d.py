"""Depthwise 3D convolution with learned kernels."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.ops import depthwise_conv3d


class DepthwiseConv3D(nn.Module):
    """One `k x k x k` kernel and bias per channel; stride 1, size kept.

    Attributes:
      kernel_size: side `k` of the kernel, odd.
      dtype: dtype of the computation; parameters are float32.
      implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    kernel_size: int
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """Convolves `x`."""
        channels = x.shape[-1]
        kernel = self.param("kernel", initializers.depthwise_kernel, (self.kernel_size,) * 3 + (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        dtype = computation_dtype(self.dtype)
        x = depthwise_conv3d.depthwise_conv3d(x.astype(dtype), kernel.astype(dtype), implementation=self.implementation)
        return x + bias.astype(dtype).reshape(1, 1, 1, 1, channels)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        return x.size * self.kernel_size**3
