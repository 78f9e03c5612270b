"""Selects some places of each frame of tokens."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def take_places(tokens: Float[Array, "#b #t places c"], chosen: Int[Array, "b t n"]) -> Float[Array, "b t n c"]:
    """Takes the tokens of the chosen places, frame by frame.

    Args:
      tokens: of all places; one batch entry or frame serves all.
      chosen: numbers of places.

    Returns:
      The tokens of each frame, in the order of `chosen`.
    """
    return jnp.take_along_axis(tokens, chosen[..., None], axis=2, mode="clip")
