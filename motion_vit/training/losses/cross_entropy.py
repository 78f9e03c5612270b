"""Cross entropy with soft targets and a weight for each example."""

from collections.abc import Sequence

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


def soft_target_cross_entropy(
    logits: Float[Array, "b classes"],
    targets: Float[Array, "b classes"],
    weights: Float[Array, " b"],
    total: Float[Array, ""] | None = None,
    added: Sequence[Float[Array, " b"]] = (),
    scale: float = 1.0,
) -> Float[Array, ""]:
    """Mean cross entropy over the examples, each counted by its weight; float32 whatever the logits are.

    Args:
      logits: the model's output.
      targets: probabilities to aim at.
      weights: 0 leaves an example out, as for a video that cannot be decoded.
      total: sum of the weights that the mean is over; that of `weights` by default. Where these examples are a part of
        a batch it is that of the whole batch, so that the losses of the parts add up to the batch's.
      added: other losses of each example, such as regularisers of the model, that are added to its cross entropy.
      scale: what the cross entropy is multiplied by before.

    Returns:
      The loss; 0 if all weights are 0.
    """
    losses = sum(added, start=scale * optax.losses.softmax_cross_entropy(logits.astype(jnp.float32), targets))
    # Weights are 0 or 1, so a sum below 1 means that no example counts.
    return jnp.sum(losses * weights) / jnp.maximum(jnp.sum(weights) if total is None else total, 1.0)
