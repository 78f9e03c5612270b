"""Cross entropy in which rare classes weigh more."""

from collections.abc import Callable, Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from motion_vit.ranges import Items, Number, check

POWER = Number(0, 100)
"""By how much rare classes weigh more: a class with `n` clips weighs `n ** -power`."""

WEIGHTS = Items(Number(0, 1_000_000), 0, 1_000_000)
"""A weight for each class, or none."""


def class_weighted(
    clips_of_class: Sequence[int],
    /,
    *,
    power: Annotated[float, POWER] = 1.0,
    weights: Annotated[Sequence[float], WEIGHTS] = (),
) -> Callable[[Float[Array, "b classes"], Float[Array, "b classes"]], Float[Array, " b"]]:
    """Makes a cross entropy with a weight for each class.

    With soft targets each class's share has the class's weight, as in PyTorch's `CrossEntropyLoss(weight=...)`. The
    weights are scaled so that their mean over the training clips is 1: learning rates of the plain cross entropy fit.

    Args:
      clips_of_class: training clips of each class.
      power: a class with `n` clips weighs `n ** -power`: 1 gives all classes the same share in the loss, 0 is the plain
        cross entropy, 0.5 lies between.
      weights: a weight for each class, in the order of the logits, instead.

    Returns:
      A function from logits and targets to the loss of each clip: `-sum_c weight_c target_c log p_c`.

    Raises:
      ValueError: `power` or `weights` is not in its range, there are not as many weights as classes, or none of them
        is above 0.
    """
    scaled = jnp.asarray(class_weights(clips_of_class, power, weights), jnp.float32)

    def loss(logits: Float[Array, "b classes"], targets: Float[Array, "b classes"]) -> Float[Array, " b"]:
        return -jnp.sum(scaled[None] * targets * jax.nn.log_softmax(logits), axis=-1)

    return loss


def class_weights(
    clips_of_class: Sequence[int], power: float, weights: Sequence[float] = ()
) -> Float[np.ndarray, " classes"]:
    """Computes the weight of each class.

    Args:
      clips_of_class: training clips of each class; a class without any weighs as much as one with a single clip.
      power: see `class_weighted`.
      weights: see `class_weighted`.

    Returns:
      Weights whose mean over the training clips is 1.

    Raises:
      ValueError: as for `class_weighted`.
    """
    counts = np.maximum(np.asarray(clips_of_class, np.float64), 1)
    check("power", power, POWER)
    check("weights", weights, WEIGHTS)
    given = counts**-power if len(weights) == 0 else np.asarray(weights, np.float64)
    if given.shape != counts.shape:
        raise ValueError(f"there are {given.size} weights for {counts.size} classes")
    if given.max() <= 0:
        raise ValueError("weights are all 0, but one of them must be above 0")
    return np.asarray(given * counts.sum() / (given * counts).sum())
