"""Patch embedding: a strided 3D convolution and a LayerNorm."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.ops.frame_pairs import shift_frames
from motion_vit.ops.linear import linear


class PatchProjection(nn.Module):
    """A 3D convolution whose spatial stride equals its spatial kernel, computed as one matrix product.

    Patches do not overlap in space, so that a reshape collects them. In time the odd kernel overlaps and the frames are
    padded with zeros. Pixels beyond a whole number of patches are ignored, as in a convolution without spatial padding.

    Attributes:
      features: output channels.
      kernel_size: frames, rows and columns of a patch; the number of frames is odd.
      temporal_stride: distance of output frames, in input frames.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: tuple[int, int, int]
    temporal_stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2 features"]:
        """Embeds the patches of `x`."""
        frames, rows, columns = self.kernel_size
        kernel = self.param("kernel", initializers.convolution_kernel, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        dtype = computation_dtype(self.dtype)
        patches = spatial_patches(x.astype(dtype), rows, columns)
        shifted = (shift_frames(patches, tap - frames // 2) for tap in range(frames))
        # Slices of `jnp` become gathers where the batch is symbolic.
        taps = [lax.slice_in_dim(tap, 0, None, self.temporal_stride, axis=1) for tap in shifted]
        weights = kernel.astype(dtype).reshape(frames * rows * columns * x.shape[-1], self.features)
        return linear(jnp.concatenate(taps, axis=-1), weights, bias.astype(dtype))

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        frames, rows, columns = self.kernel_size
        positions = x.shape[0] * -(-x.shape[1] // self.temporal_stride) * (x.shape[2] // rows) * (x.shape[3] // columns)
        return positions * frames * rows * columns * x.shape[4] * self.features


class PatchEmbedding(nn.Module):
    """Patch projection followed by LayerNorm (UniFormer's `PatchEmbed` and `SpeicalPatchEmbed`).

    Attributes:
      features: output channels.
      kernel_size: frames, rows and columns of a patch.
      temporal_stride: distance of output frames, in input frames.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: tuple[int, int, int]
    temporal_stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2 features"]:
        """Embeds the patches of `x`."""
        x = PatchProjection(self.features, self.kernel_size, self.temporal_stride, self.dtype, name="proj")(x)
        normalized: Array = LayerNorm(epsilon=1e-5, output_dtype=self.dtype, name="norm")(x)
        return normalized


def spatial_patches(x: Float[Array, "b t h w c"], rows: int, columns: int) -> Float[Array, "b t h2 w2 patch"]:
    """Collects the pixels of each patch of a frame; pixels beyond a whole number of patches are left out.

    Args:
      x: clips.
      rows: height of a patch.
      columns: width of a patch.

    Returns:
      For each patch its pixels row by row, each with its channels: `patch = rows * columns * c`.
    """
    batch, frames, height, width, channels = x.shape
    high, wide = height // rows, width // columns
    x = x[:, :, : high * rows, : wide * columns]
    x = x.reshape(batch, frames, high, rows, wide, columns * channels)  # LiteRT transposes up to six axes
    return jnp.moveaxis(x, 3, 4).reshape(batch, frames, high, wide, rows * columns * channels)
