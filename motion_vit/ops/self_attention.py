"""Self-attention of vectors without projections: queries, keys and values are the vectors themselves."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from motion_vit.ops.precision import accumulation_dtype

Vectors = Float[Array, "*batch n d"]


def normalize_vectors(x: Vectors, epsilon: float = 1e-5) -> Vectors:
    """Gives every vector mean 0 and variance 1 (LayerNorm without scale and offset).

    Args:
      x: `[..., n, d]`, each normalised over `d`.
      epsilon: added to the variance.

    Returns:
      Vectors of the dtype of `x`; the statistics are float32 or better.
    """
    values = x.astype(accumulation_dtype(x.dtype))
    centred = values - jnp.mean(values, axis=-1, keepdims=True)
    variance = jnp.mean(lax.square(centred), axis=-1, keepdims=True)
    return (centred * lax.rsqrt(variance + epsilon)).astype(x.dtype)


def self_attention_weights(x: Vectors) -> Float[Array, "*batch n n"]:
    """Computes the softmax of the vectors' scalar products over the root of their length.

    Args:
      x: `[..., n, d]`.

    Returns:
      Weights in float32 or better, with a sum of 1 for each vector.
    """
    scores = jnp.einsum("...nd,...md->...nm", x, x, preferred_element_type=accumulation_dtype(x.dtype))
    return jax.nn.softmax(scores * x.shape[-1] ** -0.5, axis=-1)


def self_attention(x: Vectors) -> Vectors:
    """Averages all vectors for each one, by `self_attention_weights`.

    Args:
      x: `[..., n, d]`.

    Returns:
      Vectors of the shape and dtype of `x`.
    """
    return apply_attention_weights(self_attention_weights(x), x)


def apply_attention_weights(weights: Float[Array, "*batch n n"], x: Vectors) -> Vectors:
    """Averages vectors with given weights.

    Args:
      weights: as from `self_attention_weights`.
      x: `[..., n, d]`.

    Returns:
      Vectors of the shape and dtype of `x`.
    """
    return jnp.einsum("...nm,...md->...nd", weights.astype(x.dtype), x)
