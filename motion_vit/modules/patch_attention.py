"""Attention among a clip's patches, over time and then over space, for comparison with M2A's attention of frames."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from motion_vit.ops.self_attention import normalize_vectors, self_attention

Clips = Float[Array, "b t h w c"]
Patches = Float[Array, "b t n d"]


class PatchAttention(nn.Module):
    """Each patch attends to itself in the other frames, by its motion, then to the other patches of its frame.

    Patches are normalised individually (LayerNorm without scale and offset). Over time they become `p +
    attention(motion(norm p))`, then `p + attention(norm p)` over the patches of a frame, without projections and so
    without parameters (`SpatialPatchMotionAttention` in `ops/temporal_shift.py` of gebob19/M2A).

    Where patches do not tile the frames, tokens are single positions, and all tokens of the clip attend to each other
    at once. In that case the released code takes differences between neighbouring positions; here they are between
    frames, as where patches tile.

    Attributes:
      patch_size: side of a patch.
    """

    patch_size: int = 4

    @nn.compact
    def __call__(self, x: Clips, find_motion: Callable[[Clips], Clips]) -> Clips:
        """Attends; includes the residuals.

        Args:
          x: features of a clip.
          find_motion: computes motion from features.

        Returns:
          Features of the same shape.
        """
        shape, size = x.shape, self.patch_size
        if not self._tiles(x):
            motion = find_motion(normalize_vectors(x))
            tokens = motion.reshape(shape[0], shape[1] * shape[2] * shape[3], shape[4])
            return x + self_attention(tokens).reshape(shape)
        normalized = _join_patches(normalize_vectors(_split_patches(x, size)), x, size)
        motion = jnp.swapaxes(_split_patches(find_motion(normalized), size), 1, 2)
        patches = _split_patches(x, size) + jnp.swapaxes(self_attention(motion), 1, 2)
        patches = patches + self_attention(normalize_vectors(patches))
        return _join_patches(patches, x, size)

    def _tiles(self, x: Clips) -> bool:
        return x.shape[2] % self.patch_size == 0 and x.shape[3] % self.patch_size == 0

    def multiply_adds(self, x: Clips) -> int:
        """Counts the multiply-adds of the attention on an input of this shape."""
        frames, positions = x.shape[1], x.shape[2] * x.shape[3]
        if not self._tiles(x):
            return 2 * x.size * frames * positions
        return 2 * x.size * (frames + positions // self.patch_size**2)


def _split_patches(x: Clips, size: int) -> Patches:
    batch, frames, height, width, channels = x.shape
    high, wide = height // size, width // size
    x = x.reshape(batch, frames, high, size, wide, size * channels)
    return jnp.moveaxis(x, 3, 4).reshape(batch, frames, high * wide, size * size * channels)


def _join_patches(patches: Patches, like: Clips, size: int) -> Clips:
    batch, frames, height, width, channels = like.shape
    patches = patches.reshape(batch, frames, height // size, width // size, size, size * channels)
    return jnp.moveaxis(patches, 4, 3).reshape(like.shape)
