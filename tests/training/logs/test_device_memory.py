import pathlib
import sys
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from motion_vit.training.logs.device_memory import MemoryUse, memory_use


def device(account: dict[str, int] | None) -> Any:
    return SimpleNamespace(memory_stats=lambda: account)


def test_the_device_with_the_highest_peak_is_reported() -> None:
    devices = [
        device({"bytes_in_use": 5, "peak_bytes_in_use": 20, "bytes_limit": 80}),
        device({"bytes_in_use": 7, "peak_bytes_in_use": 30, "bytes_limit": 80}),
        device({"bytes_in_use": 9, "peak_bytes_in_use": 10, "bytes_limit": 80}),
    ]
    assert memory_use(devices) == MemoryUse("device", peak=30, current=7, limit=80)


@pytest.mark.parametrize("account", [None, {}, {"num_allocs": 3}])
def test_a_backend_without_an_account_is_answered_with_the_memory_of_the_process(account: dict[str, int]) -> None:
    assert memory_use([device(account)]).owner == "process"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's account of a process")
def test_the_memory_of_the_process_is_the_one_that_the_system_counts() -> None:
    peak = memory_use(jax.local_devices()).peak
    (line,) = [line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    _, kibibytes, unit = line.split()
    assert unit == "kB"
    assert peak == pytest.approx(1024 * int(kibibytes), rel=0.01)


def test_metrics_name_owner_and_unit_and_leave_out_what_is_not_known() -> None:
    assert MemoryUse("device", peak=3_000_000_000, current=1_500_000_000, limit=None).metrics() == {
        "device_peak_memory_gb": 3.0,
        "device_memory_gb": 1.5,
    }
    assert MemoryUse("process", peak=10**9).metrics() == {"process_peak_memory_gb": 1.0}
