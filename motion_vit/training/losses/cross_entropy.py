"""Cross entropy with soft targets."""

from collections.abc import Callable, Sequence

import optax
from jaxtyping import Array, Float


def cross_entropy(
    clips_of_class: Sequence[int], /
) -> Callable[[Float[Array, "b classes"], Float[Array, "b classes"]], Float[Array, " b"]]:
    """Makes the cross entropy, which treats all classes alike.

    Args:
      clips_of_class: not used.

    Returns:
      A function from logits and targets to the loss of each clip: `-sum_c target_c log p_c`.
    """
    return optax.losses.softmax_cross_entropy
