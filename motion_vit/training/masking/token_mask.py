"""A mask of tokens: numbers of places, as many in each frame, so that shapes do not depend on the draw."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class TokenMask(NamedTuple):
    """The visible tubelets of clips, and the predicted ones.

    Attributes:
      visible: places of each frame that the encoder sees, rising.
      predicted: places that the decoder predicts, rising.
      counted: which of these count for the loss: those that the encoder has not seen.
    """

    visible: Int[Array, "b t shown"]
    predicted: Int[Array, "b t n"]
    counted: Bool[Array, "b t n"]


def split_places(
    scores: Float[Array, "b t places"], shown: int
) -> tuple[Int[Array, "b t shown"], Int[Array, "b t hidden"]]:
    """Splits the places of each frame into those of the largest scores and the others.

    Args:
      scores: of all places; of equal ones the first comes first.
      shown: how many are visible.

    Returns:
      The visible places and the hidden ones, both rising.
    """
    order = jnp.argsort(-scores, axis=-1)
    return jnp.sort(order[..., :shown], axis=-1), jnp.sort(order[..., shown:], axis=-1)
