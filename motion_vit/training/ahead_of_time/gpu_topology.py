"""Devices of absent GPUs to compile for: JAX's CUDA plugin brings the compiler without the hardware."""

import importlib.util
import os
import re
from typing import NamedTuple

import jax
from jax.experimental import topologies

from motion_vit.errors import UserError

COMPILER_OPTIONS = {"xla_gpu_enable_triton_gemm": False}
"""What programs for these devices must be compiled with.

XLA's own kernels of matrix products are chosen by timing them. Where that is not possible, it takes the first that it
thinks of, which for some products does not compile; cuBLAS has them all.
"""


class _Gpu(NamedTuple):
    """A GPU as its driver reports it, after openxla/xla, xla/backends/gpu/target_config/specs; `memory` in bytes."""

    device_kind: str
    capability: str
    multiprocessors: int
    float32_lanes: int
    shared_memory: int
    l2_cache: int
    gigahertz: float
    bytes_per_second: int
    memory: int


_KIB, _MIB = 1 << 10, 1 << 20

_GPUS = {
    "a100": _Gpu("NVIDIA A100-SXM4-80GB", "8.0", 108, 64, 164 * _KIB, 40 * _MIB, 1.41, 2_039 * 10**9, 85_100_068_864),
    "h100": _Gpu("NVIDIA H100 80GB HBM3", "9.0", 132, 128, 228 * _KIB, 50 * _MIB, 1.98, 3_352 * 10**9, 84_942_979_072),
    "h200": _Gpu("NVIDIA H200", "9.0", 132, 128, 228 * _KIB, 50 * _MIB, 1.98, 4_800 * 10**9, 151_397_597_184),
}

_DEFAULT_MEMORY_FRACTION = 0.75
"""The share of a GPU's memory that JAX takes, unless `XLA_PYTHON_CLIENT_MEM_FRACTION` says otherwise."""

_NAME = re.compile(rf"({'|'.join(_GPUS)}):(?:(\d+)x)?(\d+)")
_EXAMPLES = "h100:8, h200:1, a100:4x8"


def is_gpu_name(name: str) -> bool:
    """Tells if a topology's name begins like that of a GPU."""
    return name.partition(":")[0] in _GPUS


def gpu_devices(name: str) -> list[jax.Device]:
    """Makes devices of GPU hosts, for which programs can be compiled but not run.

    Args:
      name: GPU and number, such as "h100:8", or "h100:4x8" for 4 hosts of 8.

    Returns:
      The devices.

    Raises:
      UserError: JAX's CUDA plugin is not installed or was not loaded, or the name is not understood.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(
            f"topology {name!r} is not understood: expected a GPU ({', '.join(_GPUS)}) and how many, or hosts and how "
            f"many each has, such as {_EXAMPLES}."
        )
    kind, hosts, count = found.groups()
    # The plugin would refuse to be loaded for want of a driver.
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    try:
        topology = topologies.get_topology_desc(
            topology_name=name,
            platform="cuda",
            target_config=_target_config(_GPUS[kind]),
            topology=f"1x{hosts or 1}x{count}",
        )
    except NotImplementedError as error:  # no plugin has made itself known
        raise UserError(_no_plugin(name)) from error
    devices: list[jax.Device] = list(topology.devices)
    return devices


def usable_memory(device_kind: str) -> int | None:
    """Returns the memory in bytes that JAX takes of a GPU that `gpu_devices` knows; None for others."""
    fraction = float(os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", _DEFAULT_MEMORY_FRACTION))
    memory = {gpu.device_kind: gpu.memory for gpu in _GPUS.values()}.get(device_kind)
    return None if memory is None else int(memory * fraction)


def _no_plugin(name: str) -> str:
    namespace = importlib.util.find_spec("jax_plugins")
    plugins = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")
    if namespace is None or not any(importlib.util.find_spec(plugin) for plugin in plugins):
        return (
            f"compiling for {name} needs JAX's CUDA plugin, which is not installed: pip install 'motion_vit[gpu]'. It "
            "needs no GPU."
        )
    return (
        f"compiling for {name} needs JAX's CUDA plugin, which this program started without. On a machine without a "
        "GPU, set JAX_PLATFORMS=cpu before it starts."
    )


def _target_config(gpu: _Gpu) -> str:
    """Formats the text form of XLA's message `GpuTargetConfigProto`."""
    major, minor = gpu.capability.split(".")
    return f"""
        platform_name: "CUDA"
        device_description_str: "{gpu.device_kind}"
        dnn_version_info {{ major: 9 minor: 10 }}
        gpu_device_info {{
          cuda_compute_capability {{ major: {major} minor: {minor} }}
          core_count: {gpu.multiprocessors}
          fpus_per_core: {gpu.float32_lanes}
          clock_rate_ghz: {gpu.gigahertz}
          memory_bandwidth: {gpu.bytes_per_second}
          device_memory_size: {gpu.memory}
          l2_cache_size: {gpu.l2_cache}
          shared_memory_per_core: {gpu.shared_memory}
          shared_memory_per_block: {48 * _KIB}
          shared_memory_per_block_optin: {gpu.shared_memory - _KIB}
          registers_per_core_limit: 65536
          registers_per_block_limit: 65536
          threads_per_warp: 32
          threads_per_block_limit: 1024
          threads_per_core_limit: 2048
          block_dim_limit_x: 2147483647
          block_dim_limit_y: 65535
          block_dim_limit_z: 65535
        }}
    """
