"""The transformer block of MViTv2, whose tokens become fewer and wider in its attention."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.mlp import Mlp
from motion_vit.modules.motion_module import apply_motion_module
from motion_vit.modules.pooling_attention import PoolingAttention
from motion_vit.modules.stochastic_depth import StochasticDepth
from motion_vit.ops.max_pool import max_pool_frames

Tokens = Float[Array, "b n c"]
Output = Float[Array, "b m features"]


class PoolingBlock(nn.Module):
    """Pooling attention and a perceptron, both residual (`MultiScaleBlock` in `slowfast/models/attention.py`).

    Where the width grows, the first residual connection is a projection of the normalised tokens; where queries are
    pooled, it is pooled by maxima, the class token apart.

    Attributes:
      attention: the attention layer, whose features are the output channels. Its queries are those of every token, or
        of every second row and column.
      motion: a layer `[b, t, h, w, c]` to `[b, t, h, w, c]` that the patches pass before the attention, inside its
        residual branch; or None.
      mlp_ratio: hidden features of the perceptron over channels.
      kernel_init: initialiser of the kernels of this block's own linear layers.
      dtype: dtype of the computation.
    """

    attention: PoolingAttention
    motion: nn.Module | None = None
    mlp_ratio: float = 4.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Tokens, stochastic_depth: float | Float[Array, ""] = 0.0, *, train: bool = False) -> Output:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: a class token and the patches of the attention's grid.
          stochastic_depth: probability of skipping a residual branch of a clip in training.
          train: whether to drop.

        Returns:
          A class token and the patches of the grid of queries.
        """
        drop = StochasticDepth()
        features = self.attention.features
        y = LayerNorm(output_dtype=self.dtype, name="norm1")(x)
        skip = x if x.shape[-1] == features else Linear(features, self.kernel_init, self.dtype, name="shortcut")(y)
        if self.motion is not None:
            class_token, clips = self._split(y)
            y = _join(class_token, apply_motion_module(self.motion, clips, train=train))
        if self.attention.query_stride > 1:
            class_token, clips = self._split(skip)
            skip = _join(class_token, max_pool_frames(clips))
        x = skip + drop(self.attention(y), stochastic_depth, train=train)
        y = LayerNorm(output_dtype=self.dtype, name="norm2")(x)
        hidden = int(features * self.mlp_ratio)
        y = Mlp(hidden, kernel_init=self.kernel_init, dtype=self.dtype, name="mlp")(y, train=train)
        return x + drop(y, stochastic_depth, train=train)

    def _split(self, x: Tokens) -> tuple[Float[Array, "b 1 c"], Float[Array, "b t h w c"]]:
        """Splits tokens into the class token and the patches on their grid."""
        # Slices of `jnp` become gathers where the batch is symbolic.
        class_token, patches = lax.slice_in_dim(x, 0, 1, axis=1), lax.slice_in_dim(x, 1, None, axis=1)
        return class_token, patches.reshape(x.shape[0], *self.attention.grid, x.shape[-1])


def _join(class_token: Float[Array, "b 1 c"], clips: Float[Array, "b t h w c"]) -> Tokens:
    batch, frames, rows, columns, channels = clips.shape
    return jnp.concatenate([class_token, clips.reshape(batch, frames * rows * columns, channels)], axis=1)
