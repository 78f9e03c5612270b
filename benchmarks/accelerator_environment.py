"""The machine of an accelerator run: its device, its software, and what it lacks for the other steps."""

import importlib.metadata
import shutil
import subprocess
import time
from collections.abc import Iterable
from typing import Any

from accelerator_packages import CARRIED, COMPILES_TORCH, CUDA_PLUGINS, JAX, TORCH, Package, is_there, lacking
from run_conditions import conditions
from step_process import Items, message

_QUERY = (
    "name,driver_version,memory.total,memory.used,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu,"
    "utilization.gpu,mig.mode.current"
)
_NAMED = ("jax", "torch", "triton", "flax", "optax", "numpy", "nvidia-cudnn", "nvidia-cublas", "nvidia-cuda-runtime")


def environment(rehearsal: bool) -> Items:
    """Yields the facts of the machine and its device, what is missing, and the rates that it reaches."""
    yield "machine", conditions
    yield "packages", _packages
    yield "nvidia-smi", _nvidia_smi
    yield "requirements", lambda: requirements(on_gpu=not rehearsal)
    yield "device", _device
    yield "rates", lambda: rates(size=1 << 16 if rehearsal else 1 << 30)


def requirements(*, on_gpu: bool) -> dict[str, list[str]]:
    """Checks what steps need.

    Args:
      on_gpu: whether they are to run on a GPU.

    Returns:
      For "jax", "torch" and "compile" sentences that say what is missing and what to do; none where all is there.
    """
    missing: dict[str, list[str]] = {"jax": [], "torch": [], "compile": []}
    if lacks := lacking(JAX):
        missing["jax"].append(_too_large(lacks, "JAX", "pip install 'jax[cuda13]'"))
    if on_gpu and not any(is_there(plugin) for plugin in CUDA_PLUGINS):
        missing["jax"].append(_too_large([CUDA_PLUGINS[0].name], "JAX's CUDA plugin", "pip install 'jax[cuda13]'"))
    if lacks := lacking(CARRIED):
        missing["jax"].append(
            f"Small packages are missing or too old: {', '.join(lacks)}. Carry them as wheels: `python "
            f"benchmarks/carried_wheels.py --out wheels {' '.join(_quoted(lacks))}` where there is a network, and here "
            "`pip install --no-index --no-deps wheels/*.whl`."
        )
    if lacks := lacking(TORCH):
        missing["torch"].append(_too_large(lacks, "PyTorch", "pip install torch"))
    if on_gpu and (lacks := lacking(COMPILES_TORCH)):
        missing["compile"].append(f"{', '.join(lacks)} is missing, without which torch.compile has no code for a GPU.")
    if on_gpu and not any(map(shutil.which, ("gcc", "cc", "clang"))):
        missing["compile"].append("There is no C compiler (gcc), which Triton needs to start its kernels.")
    if on_gpu and not missing["jax"]:
        missing["jax"] += _without_gpu("JAX", _jax_platforms)
    if on_gpu and not missing["torch"]:
        missing["torch"] += _without_gpu("PyTorch", _torch_platforms)
    return missing


def _too_large(lacks: Iterable[str], title: str, command: str) -> str:
    return (
        f"{title} is missing or too old ({', '.join(lacks)}): with its libraries it is far above what can be carried, "
        f"so that it must be on the machine beforehand, as by `{command}`."
    )


def _quoted(requirements: Iterable[str]) -> list[str]:
    return [f"'{each}'" for each in requirements]


def _without_gpu(title: str, platforms: Any) -> list[str]:
    """Says that a framework sees no GPU, if so."""
    try:
        found = platforms()
    except (RuntimeError, ImportError) as error:
        return [f"{title} does not start: {message(error)}."]
    if {"gpu", "cuda"} & set(found):
        return []
    return [
        f"{title} sees no GPU, only {', '.join(found)}: check `nvidia-smi`, the driver's version, and that "
        "JAX_PLATFORMS and CUDA_VISIBLE_DEVICES do not hide it."
    ]


def _jax_platforms() -> list[str]:
    import jax

    return sorted({device.platform for device in jax.devices()})


def _torch_platforms() -> list[str]:
    import torch

    return ["cuda"] if torch.cuda.is_available() else [f"the CPU (torch {torch.__version__})"]


def _packages() -> dict[str, str]:
    """Lists the versions of installed packages that matter for speed or that steps need."""
    wanted = {package.name for package in (*JAX, *CARRIED, *TORCH, *COMPILES_TORCH)}
    versions = {each.metadata["Name"] or "": each.version for each in importlib.metadata.distributions()}
    return {name: versions[name] for name in sorted(versions) if name.lower() in wanted or name.startswith(_NAMED)}


def _nvidia_smi() -> dict[str, str] | str:
    """Returns what the driver reports of the first GPU, or why nothing is known."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "there is no nvidia-smi here"
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if answer.returncode:
        return f"nvidia-smi ended with status {answer.returncode}: {(answer.stderr or answer.stdout).strip()[:200]}"
    values = answer.stdout.splitlines()[0].split(", ")
    return dict(zip(_QUERY.split(","), values, strict=True))


def _device() -> dict[str, Any]:
    """Returns the devices as the frameworks see them."""
    import jax

    device = jax.devices()[0]
    found: dict[str, Any] = {
        "kind": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "memory_bytes": (device.memory_stats() or {}).get("bytes_limit"),
        "jax": jax.__version__,
    }
    if is_there(Package("torch", "torch")):
        import torch

        found["torch"] = torch.__version__
        found["torch_cuda"] = torch.version.cuda
        if torch.cuda.is_available():
            properties = torch.cuda.get_device_properties(0)
            found["multiprocessors"] = properties.multi_processor_count
            found["compute_capability"] = f"{properties.major}.{properties.minor}"
            found["torch_cudnn"] = torch.backends.cudnn.version()
    return found


def rates(size: int) -> dict[str, float]:
    """Measures the best rates of JAX's first device, by which others are judged.

    Args:
      size: numbers in bfloat16 to copy.

    Returns:
      `bfloat16_flops_per_second` of large matrix products, `float32_flops_per_second` of the same with the products of
      the platform, and `bytes_per_second` of adding 1 to an array, read and written.
    """
    import jax
    import jax.numpy as jnp
    from jax_runner import jax_matmul_rate

    add = jax.jit(lambda x: x + jnp.ones((), x.dtype))
    array = jax.block_until_ready(jnp.zeros(size, jnp.bfloat16))
    jax.block_until_ready(add(array))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        jax.block_until_ready(add(array))
        seconds.append(time.perf_counter() - start)
    return {
        "bfloat16_flops_per_second": jax_matmul_rate(jnp.bfloat16),
        "float32_flops_per_second": jax_matmul_rate(jnp.float32),
        "bytes_per_second": 2 * array.nbytes / min(seconds),
    }
