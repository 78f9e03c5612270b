"""Multi-head self-attention among all tokens of a clip."""

import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.linear import Linear
from motion_vit.modules.query_key_value import Biases, QueryKeyValue
from motion_vit.ops import global_attention
from motion_vit.ops.kept_activations import ATTENTION_OUTPUT


class GlobalAttention(nn.Module):
    """Space-time self-attention over all `t * h * w` tokens (UniFormer's `Attention`).

    When the collection `intermediates` is mutable, it stores `attention_weights` `[b, heads, n, n]`, where token `n =
    (t * height + h) * width + w`. They are quadratic in the number of tokens. It also stores `query` and `key` `[b, n,
    heads, d]`, from which the weights are computed.

    Attributes:
      heads: number of heads; divides the channels.
      dropout: probability of dropping a feature of the output in training.
      kernel_init: initialiser of the kernels of `qkv` and `proj`.
      biases: which of queries, keys and values have one; see `motion_vit.modules.query_key_value.Biases`.
      dtype: dtype of the computation; the softmax is float32.
      implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    heads: int
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    biases: Biases = "all"
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool = False) -> Float[Array, "b t h w c"]:
        """Attends; includes the output bias and projection, not the residual.

        Raises:
          ValueError: the heads do not divide the channels.
        """
        batch, frames, height, width, channels = shape = x.shape
        head_channels = channels_of_head(channels, self.heads)
        tokens = frames * height * width
        # On a TPU rows of tokens are padded to whole tiles: here, once, instead of in queries, keys and values.
        x = x.reshape(batch, tokens, channels)
        qkv = QueryKeyValue(self.biases, self.kernel_init, self.dtype, name="qkv")(x)
        # Heads get an axis of their own last: what is cut by then would be padded, too.
        query, key, value = (
            qkv[..., start : start + channels].reshape(batch, tokens, self.heads, head_channels)
            for start in range(0, 3 * channels, channels)
        )
        store_attention(self, query, key)
        x = global_attention.global_attention(query, key, value, implementation=self.implementation)
        x = checkpoint_name(x.reshape(batch, tokens, channels), ATTENTION_OUTPUT)
        x = Linear(channels, self.kernel_init, dtype=self.dtype, name="proj")(x).reshape(shape)
        return nn.Dropout(self.dropout)(x, deterministic=not train)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of the attention alone on an input of this shape; linear layers count their own."""
        tokens = x.shape[1] * x.shape[2] * x.shape[3]
        return 2 * x.shape[0] * tokens * tokens * x.shape[4]


def store_attention(layer: nn.Module, query: Float[Array, "b n heads d"], key: Float[Array, "b n heads d"]) -> None:
    """Stores `query`, `key` and the `attention_weights` made of them, if the collection `intermediates` is mutable.

    Args:
      layer: the module whose method is running.
      query: not scaled.
      key: of the same sequences.
    """
    if layer.is_mutable_collection("intermediates") and not layer.is_initializing():
        layer.sow("intermediates", "query", query)
        layer.sow("intermediates", "key", key)
        layer.sow("intermediates", "attention_weights", global_attention.attention_weights(query, key))
