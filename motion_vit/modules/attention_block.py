"""The transformer block of tokens on a grid: UniFormer's of the late stages, a plain ViT's (VideoMAE), and Swin's."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.depthwise_conv3d import DepthwiseConv3D
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.mlp import Mlp
from motion_vit.modules.motion_module import apply_motion_module, make_motion_module
from motion_vit.modules.stochastic_depth import StochasticDepth

Clips = Float[Array, "b t h w c"]


class AttentionBlock(nn.Module):
    """Depthwise position encoding, attention and a perceptron, all residual (UniFormer's `SABlock`).

    Without the position encoding it is the block of a plain vision transformer, such as VideoMAE's `Block`, or, with
    attention within windows, Video Swin's `SwinTransformerBlock3D`.

    Attributes:
      attention: the attention layer.
      position_encoding: whether a depthwise convolution, which lets a token know its place, comes first.
      motion_module: applied before the attention, after its norm; see `motion_vit.modules.motion_module`.
      mlp_ratio: hidden features of the perceptron over channels.
      layer_scale: initial value of a learned scale of each channel of the residual branches; None leaves it out.
      dropout: probability of dropping a feature in training.
      kernel_init: initialiser of the kernels of the perceptron.
      epsilon: added to the variance by both normalisations.
      dtype: dtype of the computation.
      batch_norm_groups: of the motion module; see `motion_vit.modules.batch_norm.BatchNorm`.
      depthwise_implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    attention: nn.Module
    position_encoding: bool = True
    motion_module: str = "none"
    mlp_ratio: float = 4.0
    layer_scale: float | None = None
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    epsilon: float = 1e-6
    dtype: DTypeLike = jnp.float32
    batch_norm_groups: int = 1
    depthwise_implementation: str | None = None

    @nn.compact
    def __call__(self, x: Clips, stochastic_depth: float | Float[Array, ""] = 0.0, *, train: bool = False) -> Clips:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: tokens.
          stochastic_depth: probability of skipping a residual branch of an example in training.
          train: whether to drop.

        Returns:
          Tokens of the same shape.
        """
        skip = StochasticDepth()
        if self.position_encoding:
            convolution = self.depthwise_implementation
            x = x + DepthwiseConv3D(3, dtype=self.dtype, implementation=convolution, name="position")(x)
        y = LayerNorm(self.epsilon, output_dtype=self.dtype, name="norm1")(x)
        motion = make_motion_module(
            self.motion_module, dtype=self.dtype, batch_norm_groups=self.batch_norm_groups, name="motion"
        )
        y = apply_motion_module(motion, y, train=train)
        y = self.attention(y, train=train)
        x = x + skip(self._scale(y, "layer_scale1"), stochastic_depth, train=train)
        y = LayerNorm(self.epsilon, output_dtype=self.dtype, name="norm2")(x)
        y = Mlp(int(x.shape[-1] * self.mlp_ratio), self.dropout, self.kernel_init, self.dtype, name="mlp")(
            y, train=train
        )
        return x + skip(self._scale(y, "layer_scale2"), stochastic_depth, train=train)

    def _scale(self, y: Clips, name: str) -> Clips:
        if self.layer_scale is None:
            return y
        gamma = self.param(name, nn.initializers.constant(self.layer_scale), (y.shape[-1],))
        return y * gamma.astype(self.dtype).reshape(1, 1, 1, 1, -1)
