"""The number of processor cores that this process may use."""

import os


def available_cores() -> int:
    """Counts the cores that this process may use, which a scheduler or container can limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
