"""Measures memory use: of the fullest device, or of the process where devices keep no account."""

import dataclasses
import resource
import sys
from collections.abc import Sequence

import jax


@dataclasses.dataclass(frozen=True)
class MemoryUse:
    """Memory in use, in bytes.

    Attributes:
      owner: "device", the fullest device of this process, or "process", where the backend keeps no account, as on CPU.
      peak: largest use since the process started.
      current: present use, None if unknown.
      limit: available memory, None if unknown.
    """

    owner: str
    peak: int
    current: int | None = None
    limit: int | None = None

    def metrics(self) -> dict[str, float]:
        """Returns the memory in GB (1e9 bytes) by name, such as `device_peak_memory_gb`, without unknown values."""
        values = {"peak_memory": self.peak, "memory": self.current, "memory_limit": self.limit}
        return {f"{self.owner}_{name}_gb": value / 1e9 for name, value in values.items() if value is not None}


def memory_use(devices: Sequence[jax.Device]) -> MemoryUse:
    """Measures the memory of a run.

    Args:
      devices: devices of this process (`jax.sharding.Mesh.local_devices`); those of others report nothing.

    Returns:
      The account of the device with the highest peak. Where a backend keeps none, the peak of the resident memory of
      this process (`getrusage(2)`), without its worker processes.
    """
    accounts = [account for account in (device.memory_stats() for device in devices) if account]
    accounts = [account for account in accounts if "peak_bytes_in_use" in account]
    if not accounts:
        return MemoryUse("process", peak=_peak_resident_bytes())
    fullest = max(accounts, key=lambda account: account["peak_bytes_in_use"])
    return MemoryUse(
        "device",
        peak=fullest["peak_bytes_in_use"],
        current=fullest.get("bytes_in_use"),
        limit=fullest.get("bytes_limit"),
    )


def _peak_resident_bytes() -> int:
    """Returns the peak resident memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes
