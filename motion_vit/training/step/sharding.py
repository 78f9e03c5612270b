"""Shards parameters, optimizer state and averages over devices, by rules over parameter paths."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import optax
from flax import traverse_util
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from motion_vit.errors import UserError
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.step import regex_rules
from motion_vit.training.step.state import TrainState

Layout = str | Sequence[str | None]
"""How one parameter lies on the devices: "fsdp", "replicated", or an axis of the mesh or None for each dimension."""

# Parameters of fewer elements stay whole: gathering them takes longer than their 64 KiB are worth.
SMALLEST_SPLIT = 2**14
_FIELD = "sharding_rules"


def state_sharding(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    rules: Sequence[tuple[str, Layout]],
    mesh: Mesh,
) -> TrainState[NamedSharding]:
    """Returns the sharding of every array of a state.

    The optimizer's moments and the averages of a parameter are sharded as the parameter; everything else, such as the
    running statistics of BatchNorm, is replicated.

    Args:
      state: arrays or their shapes.
      optimizer: the one that made `state.opt_state`.
      rules: (pattern, layout) pairs over "/"-joined parameter paths; the first match decides. Parameters without a
        match are replicated.
      mesh: the devices.

    Returns:
      A state of `NamedSharding` leaves.

    Raises:
      UserError: a pattern matches nothing, or a layout does not fit its parameter or the mesh.
    """
    whole = meshes.replicated(mesh)
    params = parameter_sharding(state.params, rules, mesh)

    def like_parameter(leaf: Any, sharding: NamedSharding) -> Any:
        return leaf if isinstance(leaf, optax.MaskedNode) else sharding

    return TrainState(
        step=whole,
        params=params,
        batch_stats=jax.tree.map(lambda _: whole, state.batch_stats),
        opt_state=optax.tree.map_params(
            optimizer,
            like_parameter,
            state.opt_state,
            params,
            transform_non_params=lambda _: whole,
            is_leaf=lambda leaf: isinstance(leaf, optax.MaskedNode),
        ),
        ema=params if state.ema else {},
        key=whole,
    )


def parameter_sharding(params: Any, rules: Sequence[tuple[str, Layout]], mesh: Mesh) -> Any:
    """Returns the sharding of every parameter.

    Args:
      params: arrays or their shapes.
      rules: as for `state_sharding`.
      mesh: the devices.

    Returns:
      A tree of `NamedSharding`.

    Raises:
      UserError: a pattern matches nothing, or a layout does not fit its parameter or the mesh.
    """
    found = regex_rules.matches(_FIELD, [pattern for pattern, _ in rules], params)
    flat = traverse_util.flatten_dict(params, sep="/")
    shardings = {}
    for path, leaf in flat.items():
        rule = found[path]
        layout: Layout = "replicated" if rule is None else rules[rule][1]
        shardings[path] = NamedSharding(mesh, _spec(path, leaf.shape, layout, mesh))
    return traverse_util.unflatten_dict(shardings, sep="/")


def _spec(path: str, shape: tuple[int, ...], layout: Layout, mesh: Mesh) -> PartitionSpec:
    """Converts the layout of one parameter to a PartitionSpec."""
    if layout == "replicated":
        return PartitionSpec()
    if layout == "fsdp":
        return _split_longest(shape, mesh.shape["fsdp"])
    _check_explicit(path, shape, layout, mesh)
    return PartitionSpec(*layout)


def _split_longest(shape: tuple[int, ...], parts: int) -> PartitionSpec:
    """Splits the longest dimension that `parts` divides, the last of equal ones; leaves small arrays whole."""
    fitting = [dimension for dimension, size in enumerate(shape) if size % parts == 0]
    if parts == 1 or math.prod(shape) < SMALLEST_SPLIT or not fitting:
        return PartitionSpec()
    longest = max(fitting, key=lambda dimension: (shape[dimension], dimension))
    return PartitionSpec(*("fsdp" if dimension == longest else None for dimension in range(longest + 1)))


def _check_explicit(path: str, shape: tuple[int, ...], layout: Sequence[str | None], mesh: Mesh) -> None:
    """Checks that a layout with an entry per dimension fits the parameter."""
    given = f"{_FIELD}: {tuple(layout)} for the parameter {path} of shape {shape}"
    named = [axis for axis in layout if axis is not None]
    for axis in named:
        if axis not in mesh.shape:
            raise UserError(f"{given} names the axis {axis!r}, but the axes of the mesh are {', '.join(mesh.shape)}.")
    if len(set(named)) < len(named):
        raise UserError(f"{given} names an axis twice. An axis can split one dimension only.")
    if len(layout) != len(shape):
        raise UserError(
            f"{given} has {len(layout)} entries. Give an axis or None for each of the {len(shape)} dimensions."
        )
    for split, size in zip(layout, shape, strict=True):
        if split is not None and size % mesh.shape[split]:
            raise UserError(
                f"{given} splits a dimension of {size} over the {mesh.shape[split]} devices of the axis {split!r}, "
                "which do not divide it. Split another dimension, or write None."
            )
