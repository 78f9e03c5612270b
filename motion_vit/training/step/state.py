"""What a training step changes."""

import dataclasses
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import PRNGKeyArray

from motion_vit.errors import UserError

Leaf = TypeVar("Leaf")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState(Generic[Leaf]):
    """The state of a run between two steps: arrays, or their shapes or shardings in the same places.

    Attributes:
      step: steps done.
      params: the model's parameters.
      batch_stats: running statistics of BatchNorm.
      opt_state: the optimizer's moments.
      ema: exponential moving averages of the parameters; {} if the run keeps none.
      key: a typed random key that stays as it is; step `n` draws from `jax.random.fold_in(key, n)`.
    """

    step: Leaf
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any
    key: Leaf

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def averaged_variables(self) -> dict[str, Any]:
        """What `model.apply` takes, with the averages of the parameters.

        BatchNorm's running statistics, which are averages already, are the same.

        Raises:
          UserError: the run keeps no averages.
        """
        if not self.ema:
            raise UserError(
                'the run keeps no averages of its parameters; set the config field ema, such as ((".*", 0.9999),).'
            )
        return {"params": self.ema, "batch_stats": self.batch_stats}


def initial_variables(model: nn.Module, key: PRNGKeyArray, clip_shape: tuple[int, int, int, int]) -> dict[str, Any]:
    """Fresh variables of a model; also under `jax.eval_shape`, for their shapes alone.

    Args:
      model: the model.
      key: random key of the initialisation.
      clip_shape: frames, height, width and channels of a clip.

    Returns:
      `params` and `batch_stats`, the latter {} for a model without.
    """
    variables = model.init(key, jnp.zeros((1, *clip_shape), jnp.float32), train=False)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def initial_state(
    variables: dict[str, Any], optimizer: optax.GradientTransformation, key: PRNGKeyArray, *, averaged: bool = False
) -> TrainState[jax.Array]:
    """The state before the first step; also under `jax.eval_shape`.

    Args:
      variables: of `initial_variables`.
      optimizer: the optimizer.
      key: what the steps draw from.
      averaged: whether averages of the parameters are kept; they start at the parameters.

    Returns:
      The state.
    """
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(params),
        # Copies, because a step gives up the memory of both.
        ema=jax.tree.map(jnp.copy, params) if averaged else {},
        key=key,
    )
