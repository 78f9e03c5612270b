"""Patch merging: four neighbouring tokens of a frame become one of twice the channels (Swin)."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear


class PatchMerging(nn.Module):
    """Joins squares of 2 x 2 tokens, normalises them and halves their channels, frame by frame.

    Source: `PatchMerging` of torchvision's `models/swin_transformer.py` and of SwinTransformer/Video-Swin-Transformer.
    Rows and columns are filled up with zeros to even numbers. Time is never merged.

    Attributes:
      kernel_init: initialiser of the kernel.
      dtype: dtype of the computation; parameters are float32.
    """

    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 2*c"]:
        """Merges tokens; the four of a square lie column by column in the channels."""
        batch, frames, height, width, channels = x.shape
        x = jnp.pad(x, [(0, 0), (0, 0), (0, height % 2), (0, width % 2), (0, 0)])
        rows, columns = -(-height // 2), -(-width // 2)
        x = x.reshape(batch * frames * rows, 2, columns, 2, channels).transpose(0, 2, 3, 1, 4)
        x = x.reshape(batch, frames, rows, columns, 4 * channels)
        x = LayerNorm(epsilon=1e-5, output_dtype=self.dtype, name="norm")(x)
        return Linear(2 * channels, self.kernel_init, self.dtype, use_bias=False, name="reduction")(x)
