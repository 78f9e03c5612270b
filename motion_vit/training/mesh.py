"""Devices as a named mesh: batches are split over the axis "data", state is whole on every device."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from motion_vit.errors import UserError

Tree = Any  # nested mappings of arrays


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with the one axis "data".

    Args:
      devices: devices to use, all by default.

    Returns:
      The mesh.
    """
    chosen = jax.devices() if devices is None else list(devices)
    return jax.make_mesh((len(chosen),), ("data",), axis_types=(AxisType.Auto,), devices=chosen)


def check_divides(batch_size: int, mesh: Mesh, field: str) -> None:
    """Refuses a batch that cannot be split evenly.

    Args:
      batch_size: clips of a step.
      mesh: the devices.
      field: name of the setting, for the message.

    Raises:
      UserError: the devices do not divide the batch.
    """
    if batch_size % mesh.size:
        larger = -(-batch_size // mesh.size) * mesh.size
        raise UserError(
            f"{field} is {batch_size}, which cannot be split evenly over {mesh.size} devices. "
            f"Choose a multiple of {mesh.size}, such as {larger}."
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of what every device holds whole.

    Args:
      mesh: the devices.

    Returns:
      The sharding.
    """
    return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays whose first axis is split over the devices.

    Args:
      mesh: the devices.

    Returns:
      The sharding.
    """
    return NamedSharding(mesh, PartitionSpec("data"))


def to_devices(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Splits a batch over the devices.

    Args:
      batch: arrays with the batch as their first axis.
      mesh: the devices.

    Returns:
      The batch on the devices.
    """
    return jax.device_put(batch, split_batch(mesh))
