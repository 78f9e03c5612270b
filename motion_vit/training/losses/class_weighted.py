"""Cross entropy in which rare classes weigh more."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def class_weighted(
    clips_of_class: Sequence[int], /, *, power: float = 1.0, weights: Sequence[float] = ()
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
      ValueError: `power` is negative or not finite; there are not as many weights as classes; or they are not all
        finite and 0 or more, with one above 0.
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
    if not 0 <= power < math.inf:
        raise ValueError(f"power is {power}, but must be 0 or more")
    given = counts**-power if len(weights) == 0 else np.asarray(weights, np.float64)
    if given.shape != counts.shape:
        raise ValueError(f"there are {given.size} weights for {counts.size} classes")
    if not (np.isfinite(given).all() and given.min() >= 0 and given.max() > 0):
        raise ValueError(f"weights are {list(weights)}, but must be finite and 0 or more, and one of them above 0")
    return np.asarray(given * counts.sum() / (given * counts).sum())
