import contextlib
import threading
import time

from motion_vit.training.logs.device_idle import DeviceIdle


class Output:
    """An array that the devices are done with when its event is set."""

    def __init__(self) -> None:
        self.done = threading.Event()

    def block_until_ready(self) -> None:
        self.done.wait()


def test_only_the_time_after_the_devices_have_finished_counts() -> None:
    with contextlib.closing(DeviceIdle()) as idle:
        asked = time.perf_counter()
        assert idle.seconds_since(asked - 2) >= 2
        output = Output()
        idle.watch(output)
        assert idle.seconds_since(asked - 2) == 0
        output.done.set()
        finished = time.perf_counter()
        while not idle.seconds_since(asked):
            time.sleep(0.01)
        time.sleep(0.1)
        assert 0.1 <= idle.seconds_since(asked) <= time.perf_counter() - finished
        assert idle.seconds_since(time.perf_counter() - 0.01) < 0.1
