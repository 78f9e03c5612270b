"""The tokens of transformers for clips without a class token: embedded tubelets, with their places or without."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.patch_embedding import spatial_patches
from motion_vit.ops.linear import linear
from motion_vit.ops.nearest_resize import resize_grid_embedding
from motion_vit.ops.sinusoid_table import sinusoid_table

Positions = Literal["sinusoid", "learned"]
"""How tokens know their places: by a fixed table of sines, as published, or by a learned one."""

Tokens = Float[Array, "b t2 h2 w2 features"]


class TubeletProjection(nn.Module):
    """A 3D convolution whose stride equals its kernel, in time too, computed as one matrix product.

    Pixels and frames beyond a whole number of tubelets are ignored, as in a convolution without padding.

    Attributes:
      features: output channels.
      kernel_size: frames, rows and columns of a tubelet.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: tuple[int, int, int]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Tokens:
        """Embeds the tubelets of `x`."""
        frames, rows, columns = self.kernel_size
        kernel = self.param("kernel", initializers.convolution_kernel, (*self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        dtype = computation_dtype(self.dtype)
        patches = spatial_patches(x.astype(dtype), rows, columns)
        end = x.shape[1] // frames * frames
        # Slices of `jnp` become gathers where the batch is symbolic.
        taps = [lax.slice_in_dim(patches, tap, end, frames, axis=1) for tap in range(frames)]
        weights = kernel.astype(dtype).reshape(frames * rows * columns * x.shape[-1], self.features)
        return linear(jnp.concatenate(taps, axis=-1), weights, bias.astype(dtype))

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        frames, rows, columns = self.kernel_size
        tubelets = x.shape[0] * (x.shape[1] // frames) * (x.shape[2] // rows) * (x.shape[3] // columns)
        return tubelets * frames * rows * columns * x.shape[4] * self.features


class TubeletEmbedding(nn.Module):
    """Embeds tubelets as tokens: the projection of their pixels plus an embedding of their place in the clip.

    Source: `PatchEmbed` and `forward_features` in `modeling_finetune.py` of MCG-NJU/VideoMAE. The fixed table has one
      row for each place of the clip, counted frame by frame and row by row: a clip of another length or size gives a
      place another row.

    Attributes:
      features: channels of a token.
      kernel_size: frames, rows and columns of a tubelet.
      grid: frames, rows and columns of tubelets that learned positions are for. Clips of another length or size take
        the nearest entries.
      positions: how tokens know their places.
      dropout: probability of dropping a feature in training.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: tuple[int, int, int]
    grid: tuple[int, int, int]
    positions: Positions = "sinusoid"
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w c"], *, train: bool = False) -> Tokens:
        """Embeds the tubelets of clips; dropout draws from the RNG `dropout` when `train`."""
        tokens = TubeletProjection(self.features, self.kernel_size, dtype=self.dtype, name="proj")(clips)
        frames, rows, columns = tokens.shape[1:4]
        if self.positions == "learned":
            entries = self.grid[0] * self.grid[1] * self.grid[2]
            table = self.param("place_embedding", initializers.linear_kernel, (entries, self.features))
            table = resize_grid_embedding(table, self.grid, (frames, rows, columns))
        else:
            table = jnp.asarray(sinusoid_table(frames * rows * columns, self.features))
        places = table.astype(tokens.dtype).reshape(1, frames, rows, columns, self.features)
        return nn.Dropout(self.dropout)(tokens + places, deterministic=not train)


class NormalizedTubelets(nn.Module):
    """Embeds tubelets as normalised tokens that do not know their places (Video Swin's `PatchEmbed3D`).

    Clips are filled up with zeros, at the end of every axis, to a whole number of tubelets.

    Attributes:
      features: channels of a token.
      kernel_size: frames, rows and columns of a tubelet.
      dtype: dtype of the computation; parameters are float32.
    """

    features: int
    kernel_size: tuple[int, int, int]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w c"]) -> Tokens:
        """Embeds the tubelets of clips."""
        _, frames, height, width, _ = clips.shape
        missing = (-size % side for size, side in zip((frames, height, width), self.kernel_size, strict=True))
        clips = jnp.pad(clips, [(0, 0), *((0, count) for count in missing), (0, 0)])
        tokens = TubeletProjection(self.features, self.kernel_size, dtype=self.dtype, name="proj")(clips)
        normalized: Array = LayerNorm(epsilon=1e-5, output_dtype=self.dtype, name="norm")(tokens)
        return normalized
