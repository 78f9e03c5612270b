"""LayerNorm: channels of mean 0 and variance 1, scaled and shifted."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


# Traced once for all layers of the same shape, of which a transformer has two or more in every block.
@functools.partial(jax.jit, static_argnames="epsilon")
def layer_norm(
    x: Float[Array, "*shape c"], scale: Float[Array, " c"], bias: Float[Array, " c"], *, epsilon: float
) -> Float[Array, "*shape c"]:
    """Gives the channels of every token mean 0 and variance 1, then scales and shifts them.

    The variance is the mean of squares less the square of the mean, as in Flax: one pass over the tokens.

    Args:
      x: tokens, of any dtype.
      scale: float32 factor of each channel.
      bias: float32, added to each channel.
      epsilon: added to the variance.

    Returns:
      Tokens in float32, in which all is computed.
    """
    x = x.astype(jnp.float32)
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(lax.square(x), axis=-1, keepdims=True) - lax.square(mean)
    of_channels = (1,) * (x.ndim - 1) + scale.shape
    # Rounding may leave a negative variance of tokens that are nearly constant.
    factors = lax.rsqrt(jnp.maximum(variance, 0.0) + epsilon) * scale.reshape(of_channels)
    return (x - mean) * factors + bias.reshape(of_channels)
