"""Peak memory of this process, as Linux counts it: the high-water mark of its resident memory since a reset."""

import ctypes
import pathlib
import sys


def reset_resident_peak() -> None:
    """Resets Linux's high-water mark (VmHWM) to the present use; does nothing elsewhere."""
    if sys.platform == "linux":
        # What was freed is often still held by the allocator, and would count as used.
        ctypes.CDLL(None).malloc_trim(0)
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def resident_peak_megabytes() -> float | None:
    """Returns this process's peak resident memory since the last reset; None where the system does not report it."""
    if sys.platform != "linux":
        return None
    fields = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024
