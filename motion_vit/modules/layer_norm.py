"""LayerNorm that computes in float32, whatever dtype the tokens have."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float


class LayerNorm(nn.Module):
    """Gives the channels of every token mean 0 and variance 1, scaled and shifted by learned amounts.

    Attributes:
      epsilon: added to the variance.
      output_dtype: dtype of the output; the computation and the parameters are float32.
    """

    epsilon: float = 1e-6
    output_dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        """Makes Flax's layer, whose parameters lie under the name of this one."""
        self.in_float32 = nn.LayerNorm(self.epsilon)
        nn.share_scope(self, self.in_float32)

    def __call__(self, x: Float[Array, "*shape c"]) -> Float[Array, "*shape c"]:
        """Normalises `x`."""
        normalized: Array = self.in_float32(x.astype(jnp.float32))
        return normalized.astype(self.output_dtype)
