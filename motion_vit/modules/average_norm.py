"""LayerNorm of the average of a clip's tokens, applied to each token."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float


class AverageNorm(nn.Module):
    """Normalises tokens by the statistics of their average, so that their average is normalised.

    The average of the output is the LayerNorm of the average of the input (VideoMAE's `fc_norm`): the variance is that
    of the average, and all else is linear. A classifier that reads it so reads an average of tokens, of which class
    activation maps are made.

    Attributes:
      epsilon: added to the variance.
    """

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """Normalises the tokens of each clip, in float32."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        x = x.astype(jnp.float32)
        variance = jnp.var(jnp.mean(x, axis=(1, 2, 3), keepdims=True), axis=-1, keepdims=True)
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        normalized = centred * lax.rsqrt(variance + self.epsilon)
        return normalized * scale.reshape(1, 1, 1, 1, channels) + bias.reshape(1, 1, 1, 1, channels)
