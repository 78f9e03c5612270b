"""Makes target probabilities from labels."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def smoothed_targets(labels: Int[Array, " b"], num_classes: int, smoothing: float) -> Float[Array, "b classes"]:
    """Returns target probabilities: `1 - smoothing` on the label, and `smoothing` spread evenly over all classes.

    Args:
      labels: class of each example.
      num_classes: number of classes.
      smoothing: share of the probability that is spread, from 0 to 1.

    Returns:
      Targets that sum to 1.
    """
    return optax.losses.smooth_labels(jax.nn.one_hot(labels, num_classes, dtype=jnp.float32), smoothing)
