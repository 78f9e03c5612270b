"""Ctrl-C and the scheduler's SIGTERM, taken as a wish to stop after the step in progress.

Among several processes, JAX's preemption service takes SIGTERM, tells all of the notice that one has got, and finds the
step that none of them has passed, after which all stop.
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

    def begin(self, step: int) -> bool:
        """Asks before the first step, so that a signal of the time before is not lost.

        Args:
          step: steps done.

        Returns:
          Whether to stop at once; all processes get the same answer.
        """
        if not self._is_shared:
            return self._requested
        # For a notice that came before anybody asked, JAX chooses step 1.
        return multihost_utils.reached_preemption_sync_point(1) or multihost_utils.reached_preemption_sync_point(step)

    def reached(self, step: int) -> bool:
        """Asks after a step.

        Args:
          step: steps done.

        Returns:
          Whether to stop now; all processes get the answer True for the same step.
        """
        return multihost_utils.reached_preemption_sync_point(step) if self._is_shared else self._requested

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        self._give_back()
        if self._is_shared:
            signal.raise_signal(signal.SIGTERM)

    def _give_back(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
