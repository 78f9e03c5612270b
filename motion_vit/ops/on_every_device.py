"""Runs functions on every device of a mesh, each on its own clips."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array


def on_every_device(function: Callable[..., Array], *arguments: Any, split: Sequence[bool]) -> Array:
    """Applies a function with clips split over the devices of the current mesh.

    The compiler cannot split a kernel, and it makes every device compute a whole loop over clips.

    Axes of the mesh that do not divide the clips are left out: devices along them compute the same.

    Args:
      function: a function of arrays, or of trees of them.
      *arguments: its arguments, of all devices.
      split: for each argument, whether clips are its first axis; every device gets the whole of others.

    Returns:
      Its result, which has clips along its first axis.
    """
    mesh = jax.sharding.get_abstract_mesh()
    # Inside of another `jax.shard_map` every device has its share already.
    free = [name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind != AxisType.Manual]
    if math.prod(mesh.shape[name] for name in free) == 1:
        return function(*arguments)
    clips = arguments[split.index(True)].shape[0]
    dividing: tuple[str, ...] = ()
    for name in free:
        if clips % math.prod(mesh.shape[axis] for axis in (*dividing, name)) == 0:
            dividing += (name,)
    own, whole = PartitionSpec(dividing), PartitionSpec()
    in_specs = tuple(own if is_split else whole for is_split in split)
    # What a kernel returns is not known to vary from device to device, so that it cannot be checked.
    shared = jax.shard_map(function, in_specs=in_specs, out_specs=own, axis_names=set(free), check_vma=False)
    result: Array = shared(*arguments)
    return result
