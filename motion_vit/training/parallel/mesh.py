"""Devices as a named mesh, and the layout of batches on it.

The mesh has three axes, of which unused ones have size 1. The batch is split over "data" and "fsdp"; parameters and the
optimizer's moments over "fsdp" (see `sharding_rules` of the recipe); the frames of every clip over "frames".
"""

import contextlib
import math
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from motion_vit.errors import UserError

# "frames" comes last: devices next to each other, which exchange frames in every layer, are those of one host.
AXES = ("data", "fsdp", "frames")
_BATCH_AXES = ("data", "fsdp")

CLIP_ENTRIES = ("clip", "unlabelled_weak", "unlabelled_strong")
"""Entries of batches that hold clips, whose frames may be split; the others have a number for each clip."""


def make_mesh(data: int = -1, fsdp: int = 1, frames: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Makes a mesh with the sizes of the config field `mesh`.

    Args:
      data: devices along "data". One of the three may be -1: all remaining devices.
      fsdp: devices along "fsdp".
      frames: devices along "frames".
      devices: devices to use; by default all of all processes.

    Returns:
      The mesh, with automatic axes: the compiler decides unspecified layouts.

    Raises:
      UserError: the sizes do not multiply to the number of devices, or frames would be split between processes.
    """
    chosen = list(jax.devices() if devices is None else devices)
    shape = _shape({"data": data, "fsdp": fsdp, "frames": frames}, len(chosen))
    arranged = _arrange(shape, chosen)
    if not _frames_stay_in_processes(arranged):
        # The arrangement that suits the network best has to give way to the one that suits the data.
        chosen.sort(key=lambda device: (device.process_index, device.id))
        arranged = np.array(chosen).reshape(shape)
    if not _frames_stay_in_processes(arranged):
        raise UserError(
            f"config field mesh.frames is {shape[2]}, but the processes of this run do not have a multiple of so many "
            "devices each, and a process reads whole clips. Choose a divisor of the devices of a process."
        )
    return Mesh(arranged, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Makes a mesh with all devices along "data", as for evaluation and prediction.

    Args:
      devices: devices to use, all by default.

    Returns:
      The mesh.
    """
    return make_mesh(devices=devices)


def batch_parts(mesh: Mesh) -> int:
    """Returns the number of parts that a batch is split into.

    Args:
      mesh: the devices.

    Returns:
      The product of the axes "data" and "fsdp".
    """
    return math.prod(mesh.shape[axis] for axis in _BATCH_AXES)


def check_divides(clips: int, mesh: Mesh, field: str, accumulation: int = 1) -> None:
    """Checks that a batch divides evenly among devices and processes.

    Args:
      clips: clips of a step.
      mesh: the devices.
      field: name of the setting, for the message.
      accumulation: number of parts that a step's batch is computed in.

    Raises:
      UserError: the parts do not divide the batch.
    """
    parts = batch_parts(mesh) * accumulation
    if clips % parts:
        times = f" x {accumulation} parts (accumulation)" if accumulation > 1 else ""
        raise UserError(
            f"{field} is {clips}, which cannot be split evenly over {batch_parts(mesh)} devices{times}. "
            f"Choose a multiple of {parts}, such as {-(-clips // parts) * parts}."
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays that every device holds whole.

    Args:
      mesh: the devices.

    Returns:
      The sharding.
    """
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, accumulation: int = 1) -> NamedSharding:
    """Returns the sharding of arrays with a row per clip, such as labels.

    Args:
      mesh: the devices.
      accumulation: number of parts that a step's batch is computed in; above 1 they are the arrays' first axis, which
        is not split.

    Returns:
      The sharding.
    """
    return NamedSharding(mesh, PartitionSpec(*_parts_axis(accumulation), _BATCH_AXES))


def clip_sharding(mesh: Mesh, accumulation: int = 1) -> NamedSharding:
    """Returns the sharding of clips `[B,T,H,W,C]`.

    Args:
      mesh: the devices.
      accumulation: as for `batch_sharding`.

    Returns:
      The sharding.
    """
    return NamedSharding(mesh, PartitionSpec(*_parts_axis(accumulation), _BATCH_AXES, "frames"))


def to_devices(batch: Mapping[str, np.ndarray], mesh: Mesh, accumulation: int = 1) -> dict[str, jax.Array]:
    """Splits a batch over the devices. With several processes, each gives the rows of its own devices.

    Args:
      batch: arrays with the clips of this process as their first axis; `CLIP_ENTRIES` hold the clips themselves.
      mesh: the devices.
      accumulation: number of parts that a step's batch is computed in; above 1 the arrays get a leading axis of that
        size. Each process divides its own rows, so that no clip moves.

    Returns:
      The global batch on the devices.
    """

    def place(name: str, rows: np.ndarray) -> jax.Array:
        sharding = (clip_sharding if name in CLIP_ENTRIES else batch_sharding)(mesh, accumulation)
        if accumulation > 1:
            rows = rows.reshape(accumulation, -1, *rows.shape[1:])
        return jax.make_array_from_process_local_data(sharding, rows)

    return {name: place(name, rows) for name, rows in batch.items()}


def compiler_options(mesh: Mesh) -> dict[str, str] | None:
    """Returns the options to compile for a mesh with, so that no device waits for another for ever.

    XLA's runtime for CPU starts operations as they become ready. Of a collective in a loop and one beside it, some
    devices may start the one and some the other, and each then waits for all to join. Where operations are scheduled to
    save memory instead of for concurrency, this was not seen: `docs/scaling.md` says how it was tried.

    Args:
      mesh: the devices.

    Returns:
      Options for `jax.jit`; None where the compiler's own do, on one device and on GPUs and TPUs.
    """
    if mesh.size == 1 or mesh.devices.flat[0].platform != "cpu":
        return None
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def in_context(mesh: Mesh) -> contextlib.AbstractContextManager[object]:
    """Lets code under trace name the axes of a mesh, as a model that splits frames does.

    `jax.set_mesh` does the same outside of `jax.jit`; this function works inside, so that callers need no mesh context.

    Args:
      mesh: the devices.

    Returns:
      A context manager.
    """
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def _parts_axis(accumulation: int) -> tuple[None, ...]:
    return (None,) if accumulation > 1 else ()


def _shape(sizes: dict[str, int], devices: int) -> tuple[int, ...]:
    """Resolves -1 in the sizes."""
    given = math.prod(size for size in sizes.values() if size != -1)
    free = [axis for axis, size in sizes.items() if size == -1]
    wrong = any(size < 1 and size != -1 for size in sizes.values())
    if wrong or len(free) > 1 or devices % given or (not free and given != devices):
        shown = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
        raise UserError(
            f"config field mesh has {shown}, which does not make up {devices} device{'s' if devices > 1 else ''}. "
            "The product of the axes must be the number of devices; one axis may be -1, as many as are left."
        )
    return tuple(devices // given if size == -1 else size for size in sizes.values())


def _arrange(shape: tuple[int, ...], devices: Sequence[jax.Device]) -> np.ndarray:
    """Arranges the devices in the shape of a mesh, with network neighbours next to each other."""
    # TPU slices are joined by a slow network, which only the gradients' sum over "data" should cross.
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices > 1:
        if shape[0] % slices:
            raise UserError(
                f"config field mesh.data is {shape[0]}, but must be a multiple of the {slices} TPU slices of this run."
            )
        within = (shape[0] // slices, *shape[1:])
        return mesh_utils.create_hybrid_device_mesh(within, (slices, 1, 1), devices, allow_split_physical_axes=True)
    try:
        return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices).devices
    except NotImplementedError:
        # An axis is not a product of whole sides of the TPU slice, such as 8 on a slice of 4 x 4.
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)


def _frames_stay_in_processes(arranged: np.ndarray) -> bool:
    """Tells if devices that share clips always belong to one process."""
    rows = arranged.reshape(-1, arranged.shape[-1])
    return all(len({device.process_index for device in row}) == 1 for row in rows)
