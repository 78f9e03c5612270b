"""Lets a few videos be classified at once, a few more wait, and refuses what comes beyond."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from motion_vit.serving.metrics import Metrics
from motion_vit.serving.refusal import RefusedRequestError

_Result = TypeVar("_Result")
_RETRY_SECONDS = 1


class Place:
    """The place of a request; it is given back when the work in it has ended, or when none was begun.

    Args:
      places: where it belongs.
    """

    def __init__(self, places: "Places") -> None:
        self._places = places
        self.is_working = False

    def work(self, function: Callable[[], _Result]) -> "asyncio.Future[_Result]":
        """Runs a function in a thread, when it is its turn.

        Args:
          function: the work.

        Returns:
          Its result. Work that is cancelled before its turn is not begun; other work keeps its place until its end.
        """
        self.is_working = True
        return self._places.submit(function)


class Places:
    """The places of a server. Its methods are called in the thread of the event loop.

    Args:
      running: functions that run at once.
      total: places, with those that run.
      metrics: counts those that run and wait.
    """

    def __init__(self, running: int, total: int, metrics: Metrics) -> None:
        self._free = total
        self._metrics = metrics
        self._threads = concurrent.futures.ThreadPoolExecutor(running, "classify")

    @contextlib.contextmanager
    def entered(self) -> Iterator[Place]:
        """Takes a place.

        Yields:
          The place.

        Raises:
          RefusedRequestError: all are taken.
        """
        if not self._free:
            raise RefusedRequestError(
                503, "the server has as many requests as it takes; try again in a moment.", _RETRY_SECONDS
            )
        self._free -= 1
        place = Place(self)
        try:
            yield place
        finally:
            if not place.is_working:
                self._free += 1

    def submit(self, function: Callable[[], _Result]) -> "asyncio.Future[_Result]":
        """Runs a function in a thread for a place, which is given back at its end; see `Place.work`."""
        loop = asyncio.get_running_loop()

        def counted() -> _Result:
            self._metrics.waiting.dec()
            with self._metrics.running.track_inprogress():
                return function()

        def end(future: "concurrent.futures.Future[_Result]") -> None:
            if future.cancelled():
                self._metrics.waiting.dec()
            with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody left to take the place
                loop.call_soon_threadsafe(self._leave)

        self._metrics.waiting.inc()
        future = self._threads.submit(counted)
        future.add_done_callback(end)
        return asyncio.wrap_future(future)

    def close(self) -> None:
        """Waits for what runs."""
        self._threads.shutdown(cancel_futures=True)

    def _leave(self) -> None:
        self._free += 1
