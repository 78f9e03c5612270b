"""The tokens of a vision transformer: embedded patches with their places in space and time, after a class token."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.patch_embedding import PatchProjection
from motion_vit.ops.nearest_resize import resize_position_embedding, resize_time_embedding


class TokenEmbedding(nn.Module):
    """Embeds patches as tokens: the projection of their pixels plus learned embeddings of place and time.

    Source: `forward_features` in TimeSformer's `timesformer/models/vit.py`. The authors resize embeddings if the number
      of patches differs; this layer also does if the same number has other rows and columns.

    Attributes:
      features: channels of a token.
      patch_size: height and width of a patch in pixels.
      grid_size: rows, and columns, of patches that the position embedding is learned for. Clips of another size take
        the nearest entries.
      frames: number of frames that the time embedding is learned for; None leaves it out. Clips of another length take
        the nearest entries.
      dropout: probability of dropping a feature in training, once for place and once for time.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    patch_size: int
    grid_size: int
    frames: int | None
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w colours"], *, train: bool = False) -> Float[Array, "b n c"]:
        """Embeds the patches of clips; dropout draws from the RNG `dropout` when `train`.

        Args:
          clips: normalised clips.
          train: whether to drop.

        Returns:
          The class token, then the patches frame by frame, row by row: `n = 1 + t * rows * columns`.
        """
        batch, frames = clips.shape[:2]
        kernel_size = (1, self.patch_size, self.patch_size)
        patches = PatchProjection(self.features, kernel_size, dtype=self.dtype, name="proj")(clips)
        rows, columns = patches.shape[2:4]
        patches = patches.reshape(batch, frames, rows * columns, self.features)

        shape = (1 + self.grid_size**2, self.features)
        positions = self.param("position_embedding", initializers.linear_kernel, shape)
        positions = resize_position_embedding(positions, rows, columns).astype(self.dtype)
        of_class_token = lax.slice_in_dim(positions, 0, 1, axis=0)
        of_patches = lax.slice_in_dim(positions, 1, None, axis=0)
        class_token = self.param("class_token", initializers.linear_kernel, (self.features,)).astype(self.dtype)
        class_token = class_token.reshape(1, self.features) + of_class_token
        class_token = jnp.broadcast_to(class_token[None], (batch, 1, self.features))
        class_token = nn.Dropout(self.dropout)(class_token, deterministic=not train)
        patches = nn.Dropout(self.dropout)(patches + of_patches[None, None], deterministic=not train)

        if self.frames is not None:
            times = self.param("time_embedding", nn.initializers.zeros, (self.frames, self.features))
            times = resize_time_embedding(times, frames).astype(self.dtype)
            patches = nn.Dropout(self.dropout)(patches + times[None, :, None], deterministic=not train)
        patches = patches.reshape(batch, frames * rows * columns, self.features)
        return jnp.concatenate([class_token, patches], axis=1)
