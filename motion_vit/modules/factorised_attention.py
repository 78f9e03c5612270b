"""Self-attention half of whose heads look over time and half within the frame."""

import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.global_attention import store_attention
from motion_vit.modules.linear import Linear
from motion_vit.modules.query_key_value import QueryKeyValue
from motion_vit.ops import global_attention
from motion_vit.ops.kept_activations import ATTENTION_OUTPUT

Heads = Float[Array, "b n heads d"]


class FactorisedAttention(nn.Module):
    """Factorised dot-product attention (ViViT, model 4; arXiv 2103.15691, section 3.4).

    The first half of the heads joins each token with those of the same place in all frames, the second half with those
    of the same frame. One output projection reads them all, in this order.

    When the collection `intermediates` is mutable, it stores `attention_weights` `[b * t, heads / 2, h * w, h * w]` of
    the second half, with `query` and `key` `[b * t, h * w, heads / 2, d]`, and the same of the first half,
    `temporal_attention/attention_weights` `[b * h * w, heads / 2, t, t]`.

    Attributes:
      heads: number of heads; even, and divides the channels.
      dropout: probability of dropping a feature of the output in training.
      kernel_init: initialiser of the kernels of `qkv` and `proj`.
      dtype: dtype of the computation; the softmax is float32.
      implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    heads: int
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool = False) -> Float[Array, "b t h w c"]:
        """Attends; includes the output bias and projection, not the residual.

        Raises:
          ValueError: the heads are odd or do not divide the channels.
        """
        batch, frames, height, width, channels = x.shape
        head_channels = channels_of_head(channels, self.heads)
        if self.heads % 2:
            raise ValueError(f"heads is {self.heads}, but must be even: half of them look over time")
        tokens, half = height * width, channels // 2
        rows = x.reshape(batch, frames, tokens, channels)
        qkv = QueryKeyValue(kernel_init=self.kernel_init, dtype=self.dtype, name="qkv")(rows)

        def heads_from(first: int) -> list[Array]:
            starts = range(first, 3 * channels, channels)  # of queries, keys and values
            return [
                qkv[..., start : start + half].reshape(batch, frames, tokens, self.heads // 2, head_channels)
                for start in starts
            ]

        places = [jnp.moveaxis(part, 1, 2).reshape(batch * tokens, frames, -1, head_channels) for part in heads_from(0)]
        over_time = _OverTime(self.implementation, name="temporal_attention")(*places)
        over_time = jnp.moveaxis(over_time.reshape(batch, tokens, frames, half), 1, 2)
        query, key, value = (part.reshape(batch * frames, tokens, -1, head_channels) for part in heads_from(half))
        store_attention(self, query, key)
        in_frame = global_attention.global_attention(query, key, value, implementation=self.implementation)
        in_frame = in_frame.reshape(batch, frames, tokens, half)
        y = checkpoint_name(jnp.concatenate([over_time, in_frame], axis=-1), ATTENTION_OUTPUT)
        y = Linear(channels, self.kernel_init, dtype=self.dtype, name="proj")(y).reshape(x.shape)
        return nn.Dropout(self.dropout)(y, deterministic=not train)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of the attention alone on an input of this shape; linear layers count their own."""
        return x.size * (x.shape[1] + x.shape[2] * x.shape[3])


class _OverTime(nn.Module):
    """The half of the heads that looks over time, so that what it stores has a name of its own."""

    implementation: str | None

    @nn.compact
    def __call__(self, query: Heads, key: Heads, value: Heads) -> Heads:
        """Attends among the frames of a place."""
        store_attention(self, query, key)
        return global_attention.global_attention(query, key, value, implementation=self.implementation)
