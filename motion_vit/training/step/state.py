"""The state of training, which each step updates."""

import dataclasses
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from motion_vit.errors import UserError
from motion_vit.training.objectives.own_parameters import model_parameters, own_parameters

Leaf = TypeVar("Leaf")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState(Generic[Leaf]):
    """The state of a run between two steps: arrays, or their shapes or shardings in the same places.

    Attributes:
      step: steps done.
      params: the model's parameters, and those that its objective trains beside them, see `own_parameters`.
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
        """Returns the variables for `model.apply`."""
        return {"params": model_parameters(self.params), "batch_stats": self.batch_stats}

    @property
    def beside_model(self) -> dict[str, Any]:
        """Returns parameters that are trained and no part of the model, and their averages, by the names of fields."""
        trees = {"params": self.params, "ema": self.ema}
        return {name: own for name, tree in trees.items() if (own := own_parameters(tree))}

    @property
    def averaged_variables(self) -> dict[str, Any]:
        """Returns the variables for `model.apply`, with the averages of the parameters.

        BatchNorm's running statistics are averages already and stay the same.

        Raises:
          UserError: the run keeps no averages.
        """
        if not self.ema:
            raise UserError(
                'the run keeps no averages of its parameters; set the config field ema, such as ((".*", 0.9999),).'
            )
        return {"params": model_parameters(self.ema), "batch_stats": self.batch_stats}


def initial_state(
    variables: dict[str, Any], optimizer: optax.GradientTransformation, key: PRNGKeyArray, *, averaged: bool = False
) -> TrainState[jax.Array]:
    """Makes the state before the first step; also under `jax.eval_shape`.

    Args:
      variables: `params` and `batch_stats` of the model, or their shapes.
      optimizer: initialises its moments from the parameters.
      key: random key of all steps.
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
