"""The mean of a loss over the clips of a batch."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def clip_mean(
    losses: Float[Array, " b"], weights: Float[Array, " b"], total: Float[Array, ""] | None = None
) -> Float[Array, ""]:
    """Averages a loss over clips, each counted by its weight.

    Args:
      losses: the loss of each clip.
      weights: 0 leaves a clip out, as for a video that cannot be decoded; its loss must be finite.
      total: sum of the weights that the mean is over; that of `weights` by default. Where these clips are a part of a
        batch it is that of the whole batch, so that the means of the parts add up to the batch's.

    Returns:
      The mean; 0 if all weights are 0.
    """
    # Weights are 0 or 1, so a sum below 1 means that no clip counts.
    return jnp.sum(losses * weights) / jnp.maximum(jnp.sum(weights) if total is None else total, 1.0)
