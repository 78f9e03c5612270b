"""UniFormer's block of the early stages, which mixes tokens by convolution."""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.depthwise_conv3d import DepthwiseConv3D
from motion_vit.modules.linear import Linear
from motion_vit.modules.mlp import Mlp
from motion_vit.modules.motion_module import apply_motion_module, make_motion_module
from motion_vit.modules.stochastic_depth import StochasticDepth


class ConvolutionBlock(nn.Module):
    """Depthwise position encoding, depthwise 5x5x5 aggregation and a perceptron, all residual (UniFormer's `CBlock`).

    Attributes:
      mlp_ratio: hidden features of the perceptron over channels.
      motion_module: applied before the aggregation, after its norm; see `motion_vit.modules.motion_module`.
      dropout: probability of dropping a feature in training.
      dtype: dtype of the computation.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      depthwise_implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    mlp_ratio: float = 4.0
    motion_module: str = "none"
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32
    batch_norm_groups: int = 1
    depthwise_implementation: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t h w c"], stochastic_depth: float | Float[Array, ""] = 0.0, *, train: bool = False
    ) -> Float[Array, "b t h w c"]:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: tokens.
          stochastic_depth: probability of skipping a residual branch of an example in training.
          train: whether to drop, and to normalise by the statistics of this batch.

        Returns:
          Tokens of the same shape.
        """
        channels = x.shape[-1]
        kernel_init = initializers.convolution_kernel
        depthwise = functools.partial(DepthwiseConv3D, dtype=self.dtype, implementation=self.depthwise_implementation)
        pointwise = functools.partial(Linear, channels, kernel_init=kernel_init, dtype=self.dtype)
        norm = functools.partial(BatchNorm, groups=self.batch_norm_groups, dtype=self.dtype)
        skip = StochasticDepth()
        x = x + depthwise(3, name="position")(x)
        y = norm(name="norm1")(x, train=train)
        motion = make_motion_module(
            self.motion_module, dtype=self.dtype, batch_norm_groups=self.batch_norm_groups, name="motion"
        )
        y = apply_motion_module(motion, y, train=train)
        y = pointwise(name="conv1")(y)
        y = depthwise(5, name="depthwise")(y)
        x = x + skip(pointwise(name="conv2")(y), stochastic_depth, train=train)
        y = norm(name="norm2")(x, train=train)
        y = Mlp(int(channels * self.mlp_ratio), self.dropout, kernel_init, self.dtype, name="mlp")(y, train=train)
        return x + skip(y, stochastic_depth, train=train)
