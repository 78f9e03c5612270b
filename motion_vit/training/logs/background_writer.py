"""Writes metrics in a thread of its own, for services that answer over a network."""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping

from motion_vit.training.logs.metric_writer import MetricWriter

CLOSING_SECONDS = 60.0
"""How long the end of a run waits for a writer that is behind."""


class BackgroundWriter:
    """A writer that is opened, called and closed in one thread, so that training never waits for it.

    Args:
      open_writer: opens the writer; called in the thread.
    """

    def __init__(self, open_writer: Callable[[], MetricWriter]) -> None:
        self._open = open_writer
        self._records: queue.SimpleQueue[tuple[int, str, Mapping[str, float]] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        # A thread that hangs in a network must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="metric writer", daemon=True)
        self._thread.start()

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Hands the values over.

        Args:
          step: training steps done.
          split: "train" or "validation".
          values: finite numbers by name.

        Raises:
          Exception: what opening the writer or an earlier call of it raised.
        """
        self._raise()
        self._records.put((step, split, dict(values)))

    def close(self) -> None:
        """Waits until everything is written, `CLOSING_SECONDS` at most, and closes the writer.

        Raises:
          Exception: what the writer raised.
          TimeoutError: it is not done by then, and is left behind.
        """
        self._records.put(None)
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"it has not taken everything within {CLOSING_SECONDS:g} s")
        self._raise()

    def _work(self) -> None:
        try:
            writer = self._open()
            try:
                while (record := self._records.get()) is not None:
                    writer.write(*record)
            except BaseException:
                with contextlib.suppress(Exception):
                    writer.close()
                raise
            writer.close()
        except Exception as error:
            self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
