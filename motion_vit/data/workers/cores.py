"""How many processor cores there are for this process."""

import os


def available_cores() -> int:
    """The cores that this process may use: those that a scheduler or container leaves to it, where that can be told."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
