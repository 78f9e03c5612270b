"""Runs a function in threads, some items ahead of who takes the results."""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int, ahead: int
) -> Iterator[_Result]:
    """Maps items in threads, in order; results are ready before they are asked for.

    The threads must import nothing: two that import the same package at once can wait for each other for ever.

    Args:
      function: called in several threads at once.
      items: taken one by one, in the caller's thread.
      threads: number of threads, at least 1.
      ahead: items that are worked on or ready at most, at least 1: they bound the memory.

    Yields:
      The result of each item.

    Raises:
      BaseException: what the function raised, at the item's place; those behind it are given up.
    """
    waiting = iter(items)
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    try:
        begun = collections.deque(pool.submit(function, item) for item in itertools.islice(waiting, ahead))
        while begun:
            result = begun.popleft().result()
            begun.extend(pool.submit(function, item) for item in itertools.islice(waiting, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
