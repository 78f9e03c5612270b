"""An adapter of frozen tokens: learned queries that look for what matters in each frame.

"Optimizing ViViT Training" (arXiv 2306.04822) has a "compact adapter" between frozen spatial representations and the
temporal transformer, "a module that selectively focuses on regions of the input image". Only its abstract could be
read: the equations here are this library's. Pooling by attention of learned queries is that of the Set Transformer
(arXiv 1810.00825, section 3.2) and the Perceiver (arXiv 2103.03206).
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.layer_checks import check_counts
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.mlp import Mlp
from motion_vit.ops import global_attention

_unit_normal = nn.initializers.normal(stddev=1.0)
"""Queries start as large as normalised tokens: each looks at other tokens from the first step on, and learns others."""


class AttentionAdapter(nn.Module):
    """Makes a few tokens of all those of a frame, by one block of cross-attention.

    With the tokens `Z` `[n, c]` of a frame, their pooled vector `p` and the learned queries `Q` `[m, c]`

        A = p + softmax((Q Wq) (LN(Z) Wk)^T / sqrt(d)) LN(Z) Wv Wo,    g = A + MLP(LN(A))    [m, c]

    `Wo` and the last layer of the perceptron start at zero, so that all `m` tokens are `p` until something is learned.

    Attributes:
      queries: number of learned queries, `m`.
      heads: attention heads; divides the channels.
      mlp_ratio: hidden features of the perceptron over channels.
      dropout: probability of dropping a feature after the attention and in the perceptron in training.
      kernel_init: initialiser of the other kernels.
      approximate_gelu: see `motion_vit.modules.mlp.Mlp`.
      dtype: dtype of the computation; parameters are float32, and so is the softmax.
      implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    queries: int
    heads: int
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    approximate_gelu: bool = False
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    def __post_init__(self) -> None:
        """Checks the options."""
        check_counts(self, "queries", "heads")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "b t n c"], pooled: Float[Array, "b t c"], *, train: bool = False
    ) -> Float[Array, "b t m c"]:
        """Looks at every frame by itself; dropout draws from the RNG `dropout` when `train`.

        Args:
          tokens: of the frames of clips.
          pooled: a vector of each frame, which the tokens start from.
          train: whether to drop.

        Returns:
          A token for each query and frame.

        Raises:
          ValueError: the heads do not divide the channels.
        """
        batch, frames, number, channels = tokens.shape
        seen = self._attend(tokens.reshape(batch * frames, number, channels))
        seen = nn.Dropout(self.dropout)(seen, deterministic=not train)
        x = pooled[:, :, None] + seen.reshape(batch, frames, self.queries, channels)
        mlp = Mlp(
            int(self.mlp_ratio * channels),
            self.dropout,
            self.kernel_init,
            self.dtype,
            self.approximate_gelu,
            output_init=nn.initializers.zeros,
            name="mlp",
        )
        return x + mlp(LayerNorm(output_dtype=self.dtype, name="norm2")(x), train=train)

    def _attend(self, tokens: Float[Array, "b n c"]) -> Float[Array, "b m c"]:
        batch, number, channels = tokens.shape
        vectors = self.heads, channels_of_head(channels, self.heads)
        queries = self.param("queries", _unit_normal, (self.queries, channels))
        query = Linear(channels, self.kernel_init, self.dtype, name="query")(queries).reshape(self.queries, *vectors)
        normed = LayerNorm(output_dtype=self.dtype, name="norm1")(tokens)
        key, value = (
            Linear(channels, self.kernel_init, self.dtype, name=name)(normed).reshape(batch, number, *vectors)
            for name in ("key", "value")
        )
        every_query = jnp.broadcast_to(query, (batch, *query.shape))
        seen = global_attention.global_attention(every_query, key, value, implementation=self.implementation)
        seen = seen.reshape(batch, self.queries, channels)
        projected: Array = Linear(channels, nn.initializers.zeros, self.dtype, name="proj")(seen)
        return projected

    def multiply_adds(self, tokens: Float[Array, "b t n c"]) -> int:
        """Counts the multiply-adds of the attention on an input of this shape; linear layers count their own."""
        return 2 * tokens.size * self.queries
