"""Runs a loop in a thread of its own, a few items ahead of who takes them."""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")
_SECONDS = 0.1


class _End:
    """Marks the end of the items, with the exception that ended them."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def in_background(
    items: Iterable[_Item],
    *,
    ahead: int,
    left_out: Callable[[_Item], None] | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Generator[_Item, None, None]:
    """Takes items in a thread; they are ready before they are asked for.

    The thread must import nothing: two that import the same package at once can wait for each other for ever.

    Args:
      items: an iterable that no other thread takes from.
      ahead: items that are ready at most, at least 1: they bound the memory.
      left_out: called in the thread with an item that nobody will get: where as many are ready as may be, the oldest of
        them gives way to the next. None lets the thread wait instead.
      interrupt: called before the end of the thread is waited for, to end what it waits for itself; also after Ctrl-C.

    Yields:
      The items, in order.

    Raises:
      BaseException: what the iterable raised, at its place.
    """
    ready: queue.Queue[_Item | _End] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: _Item | _End) -> bool:
        waits = left_out is None or isinstance(item, _End)
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_SECONDS if waits else 0)
                return True
            except queue.Full:
                if not waits and left_out is not None:
                    give_way(left_out)
        return False

    def give_way(tell: Callable[[_Item], None]) -> None:
        with contextlib.suppress(queue.Empty):  # it was taken meanwhile
            oldest = ready.get_nowait()
            if not isinstance(oldest, _End):
                tell(oldest)

    def take() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as raised:  # also what ends a program: it ends in the thread that takes the items
            error = raised
        put(_End(error))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        if interrupt is not None:
            interrupt()
        thread.join()
