"""The linear layer that makes queries, keys and values of tokens."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.linear import apply_kernel

Biases = Literal["all", "query_value", "none"]
"""Which of queries, keys and values have a bias.

In a softmax over keys, a bias of keys changes nothing: it adds the same number to all affinities of a query. VideoMAE
therefore leaves it out.
"""


class QueryKeyValue(nn.Module):
    """Makes the query, the key and the value of every token, one behind the other.

    Attributes:
      biases: see `Biases`. Those of "query_value" are two parameters, `query_bias` and `value_bias`, in the place of
        `bias`.
      features: channels of each of the three; None for those of the tokens.
      kernel_init: initialiser of the kernel; biases start at zero.
      dtype: dtype of the computation; parameters are float32.
    """

    biases: Biases = "all"
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    dtype: DTypeLike = jnp.float32
    features: int | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*batch c"]) -> Float[Array, "*batch c3"]:
        """Applies the layer to every token."""
        channels = self._features(x)
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], 3 * channels), unbox=False)
        if self.biases == "all":
            bias = self.param("bias", nn.initializers.zeros, (3 * channels,))
        elif self.biases == "none":
            bias = jnp.zeros((3 * channels,))
        else:
            query_bias = self.param("query_bias", nn.initializers.zeros, (channels,))
            value_bias = self.param("value_bias", nn.initializers.zeros, (channels,))
            bias = jnp.concatenate([query_bias, jnp.zeros_like(query_bias), value_bias])
        return apply_kernel(x, kernel, bias, self.dtype)

    def multiply_adds(self, x: Float[Array, "*batch c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        return 3 * x.size * self._features(x)

    def _features(self, x: Float[Array, "*batch c"]) -> int:
        return x.shape[-1] if self.features is None else self.features
