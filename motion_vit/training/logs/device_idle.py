"""For how long devices have had nothing to do."""

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor

import jax


class DeviceIdle:
    """Notes when devices finish what they were given, in a thread that waits for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device_idle")
        self._finished: Future[float] | None = None

    def watch(self, output: jax.Array) -> None:
        """Takes an output of what was given to the devices last.

        Args:
          output: an array that may not be there yet, and is not given up.
        """
        self._finished = self._thread.submit(_time_of, output)

    def seconds_since(self, start: float) -> float:
        """For how much of a time that ends now the devices had nothing to do.

        Args:
          start: its beginning, of `time.perf_counter`.

        Returns:
          Seconds; all of them if nothing was given to the devices yet.
        """
        now = time.perf_counter()
        if self._finished is None:
            return now - start
        return max(now - max(start, self._finished.result()), 0.0) if self._finished.done() else 0.0

    def close(self) -> None:
        """Ends the thread when the devices have finished."""
        self._thread.shutdown(wait=False)


def _time_of(output: jax.Array) -> float:
    """When an array is there, or is known never to be: whoever reads it gets the error."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        output.block_until_ready()
    return time.perf_counter()
