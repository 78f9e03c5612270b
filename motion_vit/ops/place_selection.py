"""Selects some places of each frame of tokens, and marks them."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def take_places(tokens: Float[Array, "#b #t places c"], chosen: Int[Array, "b t n"]) -> Float[Array, "b t n c"]:
    """Takes the tokens of the chosen places, frame by frame.

    Args:
      tokens: of all places; one batch entry or frame serves all.
      chosen: numbers of places.

    Returns:
      The tokens of each frame, in the order of `chosen`.
    """
    return jnp.take_along_axis(tokens, chosen[..., None], axis=2, mode="clip")


def places_mask(chosen: Int[Array, "b t n"], places: int) -> Bool[Array, "b t places"]:
    """Marks the chosen ones among all places of each frame.

    Args:
      chosen: numbers of places.
      places: of a frame.

    Returns:
      Whether each place is one of them.
    """
    # Places are few: comparing all pairs costs less than a scatter.
    return jnp.any(chosen[..., None] == jnp.arange(places).reshape(1, 1, 1, places), axis=2)
