"""Measures device idle time."""

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor

import jax


class DeviceIdle:
    """Records when devices finish their work, in a thread that waits for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device_idle")
        self._finished: Future[float] | None = None

    def watch(self, output: jax.Array) -> None:
        """Registers an output of the latest work given to the devices.

        Args:
          output: an array that may still be computed, and is not donated.
        """
        self._finished = self._thread.submit(_time_of, output)

    def seconds_since(self, start: float) -> float:
        """Measures how long the devices have been idle since a time.

        Args:
          start: start of the interval, of `time.perf_counter`.

        Returns:
          Seconds; the whole interval if no work was given to the devices yet.
        """
        now = time.perf_counter()
        if self._finished is None:
            return now - start
        return max(now - max(start, self._finished.result()), 0.0) if self._finished.done() else 0.0

    def close(self) -> None:
        """Stops the thread once the devices have finished."""
        self._thread.shutdown(wait=False)


def _time_of(output: jax.Array) -> float:
    """Returns the time when an array is ready or has failed; its readers get the error."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        output.block_until_ready()
    return time.perf_counter()
