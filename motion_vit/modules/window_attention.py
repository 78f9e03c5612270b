"""Multi-head self-attention within windows of a clip, which may be shifted (Video Swin)."""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.linear import Linear
from motion_vit.modules.query_key_value import QueryKeyValue
from motion_vit.ops.clip_windows import (
    ClipWindows,
    clip_windows,
    join_windows,
    places_in_clip,
    relative_position_bias,
    split_windows,
)
from motion_vit.ops.kept_activations import ATTENTION_OUTPUT
from motion_vit.ops.window_attention import window_attention, window_attention_weights


class WindowAttention(nn.Module):
    """Self-attention of tokens within their windows, with a learned bias for every displacement.

    Source: `ShiftedWindowAttention3d` of torchvision's `models/video/swin_transformer.py`; `WindowAttention3D` and
    `SwinTransformerBlock3D.forward_part1` of SwinTransformer/Video-Swin-Transformer.

    A clip that is no whole number of windows is filled up with zeros, whose keys and values are the biases of `qkv`;
    they take part, as in both of these codes.

    When the collection `intermediates` is mutable, it stores `attention_weights` `[b * windows, heads, n, n]` and
    `attention_received` `[b, t, h, w, heads]`: the sum of the attention that a token gets from the tokens of its
    window. Without padding it is 1 everywhere if all attend to all of theirs equally.

    Attributes:
      heads: number of heads; divides the channels.
      window: frames, rows and columns of a window, in tokens. Along an axis of a smaller clip it is as long as that.
      shifted: whether windows are shifted by half of their sides.
      dropout: probability of dropping a feature of the output in training.
      kernel_init: initialiser of the kernels of `qkv` and `proj`.
      dtype: dtype of the computation; the softmax is float32.
      implementation: see `motion_vit.ops.window_attention.window_attention`.
    """

    heads: int
    window: tuple[int, int, int] = (8, 7, 7)
    shifted: bool = False
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool = False) -> Float[Array, "b t h w c"]:
        """Attends; includes the output projection, not the residual.

        Raises:
          ValueError: the heads do not divide the channels.
        """
        channels = x.shape[-1]
        head_channels = channels_of_head(channels, self.heads)
        windows = self._windows(x)
        x = split_windows(x, windows)
        qkv = QueryKeyValue(kernel_init=self.kernel_init, dtype=self.dtype, name="qkv")(x)
        query, key, value = (
            qkv[..., start : start + channels].reshape(*x.shape[:3], self.heads, head_channels)
            for start in range(0, 3 * channels, channels)
        )
        displacements = math.prod(2 * side - 1 for side in self.window)
        table = self.param("relative_position_bias", initializers.linear_kernel, (displacements, self.heads))
        bias = relative_position_bias(table, self.window, windows.tokens)
        if self.is_mutable_collection("intermediates") and not self.is_initializing():
            weights = window_attention_weights(query, key, bias, windows)
            self.sow("intermediates", "attention_weights", weights.reshape(-1, *weights.shape[2:]))
            self.sow("intermediates", "attention_received", _received(weights, windows))
        x = window_attention(query, key, value, bias, windows, implementation=self.implementation)
        x = checkpoint_name(x.reshape(*x.shape[:3], channels), ATTENTION_OUTPUT)
        x = join_windows(Linear(channels, self.kernel_init, dtype=self.dtype, name="proj")(x), windows)
        return nn.Dropout(self.dropout)(x, deterministic=not train)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of the attention alone on an input of this shape; linear layers count their own."""
        windows = self._windows(x)
        return 2 * x.shape[0] * windows.count * windows.tokens**2 * x.shape[4]

    def _windows(self, x: Float[Array, "b t h w c"]) -> ClipWindows:
        _, frames, height, width, _ = x.shape
        return clip_windows((frames, height, width), self.window, shifted=self.shifted)


def _received(weights: Float[Array, "b windows heads n n"], windows: ClipWindows) -> Float[Array, "b t h w heads"]:
    """Adds up the attention that every token gets, of tokens of the clip alone."""
    asks = jnp.asarray(places_in_clip(windows), weights.dtype)
    return join_windows(jnp.einsum("bwhqk,wq->bwkh", weights, asks), windows)
