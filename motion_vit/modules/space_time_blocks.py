"""The blocks of a vision transformer for clips: attention among all tokens at once, or over time and over space.

Sources: `Block` in TimeSformer's `timesformer/models/vit.py` (arXiv 2102.05095, section 3) and
`EncoderFactorizedSelfAttentionBlock` in `projects/vivit/model.py` of google-research/scenic (arXiv 2103.15691, section
3.3).
"""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.mlp import Mlp
from motion_vit.modules.motion_module import apply_motion_module
from motion_vit.modules.stochastic_depth import StochasticDepth

Tokens = Float[Array, "b n c"]
ClassToken = Float[Array, "b 1 c"]
Patches = Float[Array, "b patches c"]
Clips = Float[Array, "b t h w c"]
Rate = float | Float[Array, ""]


class JointAttentionBlock(nn.Module):
    """Attention among all tokens of a sequence and a perceptron, both residual: a block of a plain ViT.

    Attributes:
      attention: the attention layer. EMIM joins each patch with its neighbourhood in the next frame; a class token
        takes no part in it, and stochastic depth draws for each clip.
      grid: frames, rows and columns of the patches of a clip.
      class_tokens: tokens before the patches of a sequence: 1, or 0.
      motion: a layer `[b, t, h, w, c]` to `[b, t, h, w, c]` that the patches pass before the attention, inside its
        residual branch; or None.
      mlp_ratio: hidden features of the perceptron over channels.
      dropout: probability of dropping a feature in training.
      kernel_init: initialiser of the kernels of this block's own linear layers.
      approximate_gelu: see `motion_vit.modules.mlp.Mlp`.
      dtype: dtype of the computation.
      norm_epsilon: what its LayerNorms add to the variance.
    """

    attention: GlobalAttention | Emim
    grid: tuple[int, int, int]
    class_tokens: int = 1
    motion: nn.Module | None = None
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    approximate_gelu: bool = False
    dtype: DTypeLike = jnp.float32
    norm_epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Tokens, stochastic_depth: Rate = 0.0, *, train: bool = False) -> Tokens:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: the class tokens and patches, frame by frame: of whole clips, or of one frame each, where the batch holds
            the frames of one clip after the other.
          stochastic_depth: probability of skipping a residual branch of a sequence in training.
          train: whether to drop.

        Returns:
          Tokens of the same shape.

        Raises:
          ValueError: the attention raises it; with `motion` or EMIM, the patches are not those of clips of the `grid`.
        """
        y = LayerNorm(self.norm_epsilon, self.dtype, name="norm1")(x)
        if self.motion is not None:
            patches = self._patches(y)
            moved = apply_motion_module(self.motion, _clips(patches, self.grid), train=train).reshape(patches.shape)
            y = jnp.concatenate([lax.slice_in_dim(y, 0, 1, axis=1), moved], axis=1) if self.class_tokens else moved
        if isinstance(self.attention, Emim):
            patches = self._patches(y)
            seen = self.attention(_clips(patches, self.grid), train=train)
            seen = StochasticDepth()(seen, stochastic_depth, train=train).reshape(patches.shape)
            x = x + jnp.pad(seen, [(0, 0), (self.class_tokens, 0), (0, 0)])
        else:
            x = x + StochasticDepth()(_attend(self.attention, y, train), stochastic_depth, train=train)
        return x + _perceptron(self, x, stochastic_depth, train)

    def _patches(self, x: Tokens) -> Patches:
        # Without a class token there is nothing to slice: some runtimes know no arrays without entries.
        return lax.slice_in_dim(x, self.class_tokens, None, axis=1) if self.class_tokens else x


class DividedAttentionBlock(nn.Module):
    """Attention over time, attention within each frame, and a perceptron, all residual ("divided space-time").

    The class token takes no part in the attention over time. It joins the patches of every frame, and its results are
    averaged over frames. Stochastic depth draws for each patch in the attention over time and for each frame in the
    attention within frames, as in the authors' code. Where `temporal_attention` is a cost volume, it draws for each
    clip.

    Attributes:
      temporal_attention: the attention over time. Global attention joins each patch with the same patch in all frames,
        EMIM with its neighbourhood in the next frame.
      attention: the attention within a frame.
      grid: frames, rows and columns of the patches of a clip.
      starts_without_time: whether `temporal_fc`, which follows the attention over time, starts at zero, so that the
        block is that of an image model until it learns. The authors' code intends it for all blocks after the first and
        applies it to all: its loop counts the list of blocks as the first.
      motion: a layer `[b, t, h, w, c]` to `[b, t, h, w, c]` that the patches pass before the attention over time,
        inside its residual branch; or None.
      mlp_ratio: hidden features of the perceptron over channels.
      dropout: probability of dropping a feature in training.
      kernel_init: initialiser of the kernels of this block's own linear layers.
      approximate_gelu: see `motion_vit.modules.mlp.Mlp`.
      dtype: dtype of the computation.
      norm_epsilon: what its LayerNorms add to the variance.
    """

    temporal_attention: GlobalAttention | Emim
    attention: GlobalAttention
    grid: tuple[int, int, int]
    starts_without_time: bool = True
    motion: nn.Module | None = None
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    approximate_gelu: bool = False
    dtype: DTypeLike = jnp.float32
    norm_epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Tokens, stochastic_depth: Rate = 0.0, *, train: bool = False) -> Tokens:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: a class token and the patches of a clip, frame by frame.
          stochastic_depth: probability of skipping a residual branch in training.
          train: whether to drop.

        Returns:
          Tokens of the same shape.
        """
        class_token, patches = _split(x)
        clips = patches.reshape(x.shape[0], *self.grid, x.shape[-1])
        clips = clips + self._over_time(clips, stochastic_depth, train)
        seen, change = self._within_frames(class_token, clips, stochastic_depth, train)
        x = jnp.concatenate([class_token + seen, clips.reshape(patches.shape) + change], axis=1)
        return x + _perceptron(self, x, stochastic_depth, train)

    def _over_time(self, clips: Clips, rate: Rate, train: bool) -> Clips:
        batch, frames, height, width, channels = clips.shape
        y = LayerNorm(self.norm_epsilon, self.dtype, name="temporal_norm")(clips)
        if self.motion is not None:
            y = apply_motion_module(self.motion, y, train=train)
        if isinstance(self.temporal_attention, Emim):
            y = StochasticDepth()(self.temporal_attention(y, train=train), rate, train=train)
        else:
            y = jnp.moveaxis(y, 1, 3).reshape(batch * height * width, frames, channels)
            y = StochasticDepth()(_attend(self.temporal_attention, y, train), rate, train=train)
            y = jnp.moveaxis(y.reshape(batch, height, width, frames, channels), 3, 1)
        start = nn.initializers.zeros if self.starts_without_time else self.kernel_init
        output: Clips = Linear(channels, start, self.dtype, name="temporal_fc")(y)
        return output

    def _within_frames(
        self, class_token: ClassToken, clips: Clips, rate: Rate, train: bool
    ) -> tuple[ClassToken, Patches]:
        """Attends within frames; returns the outputs of the class token and of the patches."""
        batch, frames, height, width, channels = clips.shape
        in_each_frame = jnp.broadcast_to(class_token[:, None], (batch, frames, 1, channels))
        patches = clips.reshape(batch, frames, height * width, channels)
        y = jnp.concatenate([in_each_frame, patches], axis=2)
        y = LayerNorm(self.norm_epsilon, self.dtype, name="norm1")(
            y.reshape(batch * frames, 1 + height * width, channels)
        )
        y = StochasticDepth()(_attend(self.attention, y, train), rate, train=train)
        seen, change = _split(y)
        seen = jnp.mean(seen.reshape(batch, frames, 1, channels), axis=1)
        return seen, change.reshape(batch, frames * height * width, channels)


class FactorisedAttentionBlock(nn.Module):
    """Attention within each frame, attention over time and a perceptron, all residual, of patches without class token.

    Stochastic depth draws for each clip.

    Attributes:
      temporal_attention: the attention over time. Global attention joins each patch with the same patch in all frames,
        EMIM with its neighbourhood in the next frame.
      attention: the attention within a frame.
      time_first: whether the attention over time comes first.
      motion: a layer `[b, t, h, w, c]` to `[b, t, h, w, c]` that the patches pass before the first attention, inside
        its residual branch; or None.
      mlp_ratio: hidden features of the perceptron over channels.
      dropout: probability of dropping a feature in training.
      kernel_init: initialiser of the kernels of the perceptron.
      approximate_gelu: see `motion_vit.modules.mlp.Mlp`.
      norm_epsilon: what the LayerNorms add to the variance.
      dtype: dtype of the computation.
    """

    temporal_attention: GlobalAttention | Emim
    attention: GlobalAttention
    time_first: bool = False
    motion: nn.Module | None = None
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    approximate_gelu: bool = False
    norm_epsilon: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Clips, stochastic_depth: Rate = 0.0, *, train: bool = False) -> Clips:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: patches.
          stochastic_depth: probability of skipping a residual branch of a clip in training.
          train: whether to drop.

        Returns:
          Patches of the same shape.
        """
        branches = [("norm1", self._within_frames), ("temporal_norm", self._over_time)]
        for place, (norm, attend) in enumerate(reversed(branches) if self.time_first else branches):
            y = LayerNorm(self.norm_epsilon, self.dtype, name=norm)(x)
            if self.motion is not None and place == 0:
                y = apply_motion_module(self.motion, y, train=train)
            x = x + StochasticDepth()(attend(y, train), stochastic_depth, train=train)
        return x + _perceptron(self, x, stochastic_depth, train)

    def _within_frames(self, y: Clips, train: bool) -> Clips:
        batch, frames, height, width, channels = y.shape
        sequences = y.reshape(batch * frames, height * width, channels)
        return _attend(self.attention, sequences, train).reshape(y.shape)

    def _over_time(self, y: Clips, train: bool) -> Clips:
        if isinstance(self.temporal_attention, Emim):
            seen: Clips = self.temporal_attention(y, train=train)
            return seen
        return _attend_over_time(self.temporal_attention, y, train)


def _split(x: Tokens) -> tuple[ClassToken, Patches]:
    """Splits sequences into the class token and the patches."""
    # Slices of `jnp` become gathers where the batch is symbolic.
    return lax.slice_in_dim(x, 0, 1, axis=1), lax.slice_in_dim(x, 1, None, axis=1)


def _clips(patches: Patches, grid: tuple[int, int, int]) -> Float[Array, "clips t h w c"]:
    """Arranges patches of whole clips, or of consecutive frames of clips, on the grid."""
    sequences, tokens, channels = patches.shape
    frames, rows, columns = grid
    if tokens == frames * rows * columns:
        return patches.reshape(sequences, *grid, channels)
    if tokens == rows * columns and sequences % frames == 0:
        return patches.reshape(sequences // frames, *grid, channels)
    raise ValueError(
        f"expected the patches of whole clips or of all their frames, {frames} of {rows} x {columns} patches, got "
        f"{sequences} sequences of {tokens} patches"
    )


def _attend(attention: GlobalAttention, x: Tokens, train: bool) -> Tokens:
    """Attends within each sequence, which is a clip of one-token frames to the layer."""
    sequences, tokens, channels = x.shape
    output: Tokens = attention(x.reshape(sequences, tokens, 1, 1, channels), train=train)
    return output.reshape(sequences, tokens, channels)


def _attend_over_time(attention: GlobalAttention, x: Clips, train: bool) -> Clips:
    """Attends among the patches of one place in all frames."""
    batch, frames, height, width, channels = x.shape
    sequences = jnp.moveaxis(x, 1, 3).reshape(batch * height * width, frames, channels)
    output = _attend(attention, sequences, train).reshape(batch, height, width, frames, channels)
    return jnp.moveaxis(output, 3, 1)


def _perceptron(
    block: JointAttentionBlock | DividedAttentionBlock | FactorisedAttentionBlock,
    x: Float[Array, "b *places c"],
    rate: Rate,
    train: bool,
) -> Float[Array, "b *places c"]:
    """Applies the last residual branch, as layers of the block whose compact method is running."""
    y = LayerNorm(block.norm_epsilon, block.dtype, name="norm2")(x)
    hidden = int(x.shape[-1] * block.mlp_ratio)
    layer = Mlp(hidden, block.dropout, block.kernel_init, block.dtype, block.approximate_gelu, name="mlp")
    y = layer(y, train=train)
    return StochasticDepth()(y, rate, train=train)
