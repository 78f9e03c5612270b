"""The class token before a sequence of tokens, and the learned embedding of each place in it."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.ops.nearest_resize import resize_grid_embedding


class SequenceEmbedding(nn.Module):
    """Puts a class token before the tokens of a clip or of a frame, and adds an embedding of its place to each token.

    Source: `cls` and `AddPositionEmbs` in `projects/vivit/model.py` of google-research/scenic. The class token has an
      entry of its own in the table, the first.

    Attributes:
      grid: frames, rows and columns of tokens that the table is learned for. Others take the nearest entries.
      class_token: whether there is a class token.
      dropout: probability of dropping a feature in training.
      dtype: dtype of the computation; parameters are float32.
    """

    grid: tuple[int, int, int]
    class_token: bool = True
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, tokens: Float[Array, "b t h w c"], *, train: bool = False) -> Float[Array, "b n c"]:
        """Makes the sequences; dropout draws from the RNG `dropout` when `train`.

        Args:
          tokens: embedded patches or tubelets.
          train: whether to drop.

        Returns:
          The class token, if there is one, then the tokens frame by frame, row by row.
        """
        batch, frames, rows, columns, channels = tokens.shape
        entries = self.grid[0] * self.grid[1] * self.grid[2]
        shape = (int(self.class_token) + entries, channels)
        table = self.param("place_embedding", initializers.linear_kernel, shape).astype(self.dtype)
        of_tokens = lax.slice_in_dim(table, int(self.class_token), None, axis=0)
        of_tokens = resize_grid_embedding(of_tokens, self.grid, (frames, rows, columns))
        x = tokens.reshape(batch, frames * rows * columns, channels) + of_tokens[None]
        if self.class_token:
            class_token = self.param("class_token", nn.initializers.zeros, (channels,)).astype(self.dtype)
            class_token = class_token.reshape(1, channels) + lax.slice_in_dim(table, 0, 1, axis=0)
            x = jnp.concatenate([jnp.broadcast_to(class_token[None], (batch, 1, channels)), x], axis=1)
        return nn.Dropout(self.dropout)(x, deterministic=not train)
