"""Focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002): clips that are easy count less."""

from collections.abc import Callable, Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motion_vit.ranges import Number, check
from motion_vit.training.losses.class_weighted import POWER, class_weights

GAMMA = Number(0, 100)
"""How much less a clip counts the more probable its class is already."""


def focal(
    clips_of_class: Sequence[int], /, *, gamma: Annotated[float, GAMMA] = 2.0, power: Annotated[float, POWER] = 0.0
) -> Callable[[Float[Array, "b classes"], Float[Array, "b classes"]], Float[Array, " b"]]:
    """Makes the focal loss over softmax probabilities (equation 5 of the paper, with the alpha of each class).

    Args:
      clips_of_class: training clips of each class.
      gamma: how much less a clip counts the more probable its class is already; 0 is the cross entropy, the paper's 2.
      power: weighs classes by their clips, see `motion_vit.training.losses.class_weighted`; 0 weighs them alike.

    Returns:
      A function from logits and targets to the loss of each clip:
      `-sum_c alpha_c target_c (1 - p_c) ** gamma log p_c`.

    Raises:
      ValueError: `gamma` or `power` is not in its range.
    """
    check("gamma", gamma, GAMMA)
    alpha = jnp.asarray(class_weights(clips_of_class, power), jnp.float32)

    def loss(logits: Float[Array, "b classes"], targets: Float[Array, "b classes"]) -> Float[Array, " b"]:
        log_probabilities = jax.nn.log_softmax(logits)
        # 1 - p from all other classes, so that its power has a finite gradient where p rounds to 1.
        others = jnp.maximum(-jnp.expm1(log_probabilities), jnp.finfo(logits.dtype).tiny)
        return -jnp.sum(alpha[None] * targets * others**gamma * log_probabilities, axis=-1)

    return loss
