"""Devices to compile for, attached or not."""

from collections.abc import Mapping

import jax

from motion_vit.training.ahead_of_time import gpu_topology, tpu_topology

LOCAL = "local"
"""The topology that stands for the devices of this machine."""


def topology_devices(name: str) -> list[jax.Device]:
    """Returns the devices of a topology.

    Args:
      name: a TPU slice such as "v5e:4x4" or "v5p:2x2x2", GPUs such as "h100:8", or "local".

    Returns:
      The devices. Programs can be compiled, but not run, for devices that are not attached.

    Raises:
      UserError: the name is not understood, or the compiler is not installed.
    """
    if name == LOCAL:
        return jax.devices()
    return gpu_topology.gpu_devices(name) if gpu_topology.is_gpu_name(name) else tpu_topology.tpu_devices(name)


def compiler_options(name: str) -> Mapping[str, bool]:
    """Returns the `compiler_options` of `jax.stages.Lowered.compile` for a topology's devices."""
    return gpu_topology.COMPILER_OPTIONS if gpu_topology.is_gpu_name(name) else {}


def usable_memory(device: jax.Device) -> int | None:
    """Returns the memory that a program may use on a device.

    Args:
      device: attached or from `topology_devices`.

    Returns:
      Bytes; None if unknown, as on CPU.
    """
    if device.platform == "cpu":
        return None
    if device.platform == "tpu":
        known = tpu_topology.usable_memory(device.device_kind)
    else:
        # One that is attached says itself what was left to JAX.
        known = None if device in jax.devices() else gpu_topology.usable_memory(device.device_kind)
    if known is not None:
        return known
    limit: int | None = (device.memory_stats() or {}).get("bytes_limit")
    return limit
