"""Devices of an absent TPU slice to compile for: libtpu brings the compiler without the hardware."""

import importlib.util
import re

import jax
from jax.experimental import topologies

from motion_vit.errors import UserError
from motion_vit.training.parallel.tpu_environment import expect_no_tpu

_GIB = 1 << 30

# GiB that a program may use on one device, by `jax.Device.device_kind`: what libtpu 0.0.42 names when it refuses one.
# Of the chip's memory (16 GiB with v5e, 32 with v6e) the runtime keeps a part. A device is a whole chip, but half of
# one with v2, v3 and TPU7x.
_USABLE_GIB = {
    "TPU v2": 7.48,
    "TPU v3": 15.48,
    "TPU v5 lite": 15.75,
    "TPU v5": 95.74,
    "TPU v6 lite": 31.25,
    "TPU7x": 94.75,
}

_EXAMPLES = "v5e:2x2, v5e:4x4, v5p:2x2x2, v6e:4x4"


def tpu_devices(name: str) -> list[jax.Device]:
    """Makes the devices of a TPU slice, for which programs can be compiled but not run.

    Args:
      name: generation and chips along each axis of the slice, such as "v5e:4x4" or "v5p:2x2x2", as for
        `jax.experimental.topologies.get_topology_desc`.

    Returns:
      The devices.

    Raises:
      UserError: libtpu is not installed, or knows no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"compiling for {name} needs the TPU compiler, which is not installed: pip install 'motion_vit[tpu]'. "
            "It needs no TPU."
        )
    expect_no_tpu()
    if not re.fullmatch(r"\w+:\d+(x\d+)*", name):
        raise UserError(
            f"topology {name!r} is not understood: expected a TPU generation and the chips along each axis, such as "
            f"{_EXAMPLES}, GPUs such as h100:8, or 'local' for the devices of this machine."
        )
    try:
        devices: list[jax.Device] = list(topologies.get_topology_desc(topology_name=name, platform="tpu").devices)
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).partition(": ")[2].splitlines()[0]
        raise UserError(f"topology {name!r} is unknown to libtpu: {reason}. Examples are {_EXAMPLES}.") from error
    if devices[0].device_kind == "TPU v4":
        raise UserError(
            "topology 'v4' cannot be compiled for without hardware: libtpu describes its chips as two devices, and JAX "
            f"uses them as one. Examples of others are {_EXAMPLES}."
        )
    return devices


def usable_memory(device_kind: str) -> int | None:
    """Returns the memory in bytes that a program may use on a kind of device; None if unknown."""
    return int(_USABLE_GIB[device_kind] * _GIB) if device_kind in _USABLE_GIB else None
