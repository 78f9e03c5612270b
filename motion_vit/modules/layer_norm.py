"""LayerNorm that computes in float32, whatever dtype the tokens have."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.ops.layer_norm import layer_norm


class LayerNorm(nn.Module):
    """Gives the channels of every token mean 0 and variance 1, scaled and shifted by learned amounts.

    Attributes:
      epsilon: added to the variance.
      output_dtype: dtype of the output; the computation and the parameters are float32.
    """

    epsilon: float = 1e-6
    output_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*shape c"]) -> Float[Array, "*shape c"]:
        """Normalises `x`."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return layer_norm(x, scale, bias, epsilon=self.epsilon).astype(self.output_dtype)
