"""What a training step changes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.sharding import Mesh

from motion_vit.training import mesh as meshes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The state of a run between two steps.

    Attributes:
      step: steps done.
      params: the model's parameters.
      batch_stats: running statistics of BatchNorm.
      opt_state: the optimizer's moments.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def initial_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    clip_shape: tuple[int, int, int, int],
) -> TrainState:
    """A fresh state; also under `jax.eval_shape`, for its shapes alone.

    Args:
      model: the model.
      optimizer: the optimizer.
      key: random key of the initialisation.
      clip_shape: frames, height, width and channels of a clip.

    Returns:
      The state before the first step.
    """
    variables = model.init(key, jnp.zeros((1, *clip_shape), jnp.float32), train=False)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
    )


def initial_state_on(
    mesh: Mesh,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    clip_shape: tuple[int, int, int, int],
) -> TrainState:
    """A fresh state, whole on every device of a mesh.

    Args:
      mesh: the devices.
      model: the model.
      optimizer: the optimizer.
      key: random key of the initialisation.
      clip_shape: frames, height, width and channels of a clip.

    Returns:
      The state before the first step.
    """
    make = jax.jit(lambda key: initial_state(model, optimizer, key, clip_shape), out_shardings=meshes.replicated(mesh))
    return make(key)


def abstract_state(
    mesh: Mesh, model: nn.Module, optimizer: optax.GradientTransformation, clip_shape: tuple[int, int, int, int]
) -> TrainState:
    """The shapes of a state that is whole on every device of a mesh, to restore a checkpoint into.

    Args:
      mesh: the devices.
      model: the model.
      optimizer: the optimizer.
      clip_shape: frames, height, width and channels of a clip.

    Returns:
      A state of `jax.ShapeDtypeStruct` leaves.
    """
    shapes = jax.eval_shape(lambda key: initial_state(model, optimizer, key, clip_shape), jax.random.key(0))
    sharding = meshes.replicated(mesh)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)
