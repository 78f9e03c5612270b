"""Conditions of a benchmark run: machine, load, versions and environment settings that matter for speed."""

import os
import pathlib
import platform
import sys
from collections.abc import Mapping
from typing import Any

ALLOCATOR_VARIABLE = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""By this setting the allocator of glibc asks Linux for huge pages, which programs of many large arrays gain from: both
frameworks allocate an array for nearly every operation, and the kernel clears its pages one by one."""

_SETTINGS = (
    ALLOCATOR_VARIABLE,
    "LD_PRELOAD",
    "OMP_NUM_THREADS",
    "XLA_FLAGS",
    "LIBTPU_INIT_ARGS",
    "CUDA_VISIBLE_DEVICES",
)
_PREFIXES = ("JAX_", "XLA_PYTHON_", "PYTORCH_", "TORCHINDUCTOR_", "TORCH_")


def use_huge_pages() -> None:
    """Makes processes started from now on use huge pages, where the allocator is glibc's.

    glibc reads the setting when a process starts, so that this one is not affected. An existing setting is kept.
    """
    if platform.libc_ver()[0] == "glibc":
        os.environ.setdefault(ALLOCATOR_VARIABLE, HUGE_PAGES)


def usable_cores() -> int:
    """Counts the cores that this process may use, which are fewer than the machine's under `taskset`."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def conditions() -> dict[str, Any]:
    """Collects machine and settings, ready for JSON; unset ones are left out."""
    settings = {name: value for name, value in os.environ.items() if name in _SETTINGS or name.startswith(_PREFIXES)}
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "environment": dict(sorted(settings.items())),
        "command": sys.argv,
    }


def conditions_line(found: Mapping[str, Any]) -> str:
    """Formats the most important `conditions` in a line."""
    settings = ", ".join(f"{name}={value}" for name, value in found["environment"].items())
    return f"{found['cores']} cores of {found['processor']}, load {found['load']:.1f}; {settings or 'no settings'}"


def _processor() -> str:
    """Returns the name of the processor, as far as the system reports it."""
    table = pathlib.Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
