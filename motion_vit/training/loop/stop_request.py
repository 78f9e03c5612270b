"""Ctrl-C and the scheduler's SIGTERM, taken as a wish to stop after the step in progress.

Among several processes, JAX's preemption service takes SIGTERM, tells all of the notice that one has got, and finds the
question that none of them has asked yet, whose answer is then True for all.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import jax
from jax.experimental import multihost_utils


class StopRequest:
    """Notes signals while it is entered; the second Ctrl-C stops at once, as without it."""

    def __init__(self) -> None:
        self._requested = False
        self._questions = 0
        self._previous: dict[int, Any] = {}
        self._is_shared = jax.process_count() > 1

    def __enter__(self) -> "StopRequest":
        """Takes over the signals; only the main thread may."""
        if threading.current_thread() is threading.main_thread():
            # Among several processes SIGTERM is JAX's.
            for number in (signal.SIGINT,) if self._is_shared else (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Gives the signals back."""
        self._give_back()

    def reached(self) -> bool:
        """Asks whether to stop now. All processes must ask equally often, and get the same answers.

        Returns:
          True once somebody wishes to stop, and from then on.
        """
        if self._is_shared and not self._requested:
            # Counted from 1, the number that JAX chooses for a notice that came before anybody asked.
            self._questions += 1
            self._requested = multihost_utils.reached_preemption_sync_point(self._questions)
        return self._requested

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._give_back()
        if self._is_shared:
            signal.raise_signal(signal.SIGTERM)
        else:
            self._requested = True

    def _give_back(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
