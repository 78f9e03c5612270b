"""A loop in a thread of its own keeps the order, is not far ahead, and ends with whoever takes its items."""

import threading
import time
from collections.abc import Iterator

import pytest

from motion_vit.data.workers.background import in_background


@pytest.mark.parametrize("ahead", [1, 3])
def test_items_come_in_order_and_few_are_made_ahead(ahead: int) -> None:
    made = []

    def numbers() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    for taken, number in enumerate(in_background(numbers(), ahead=ahead)):
        assert number == taken
        time.sleep(0.005)
        assert len(made) <= taken + 1 + ahead + 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_comes_at_its_place(error: type[BaseException]) -> None:
    def numbers() -> Iterator[int]:
        yield 0
        raise error

    items = in_background(numbers(), ahead=4)
    assert next(items) == 0
    with pytest.raises(error):
        next(items)


def test_who_takes_no_more_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    items = in_background(iter(range(1000)), ahead=2)
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before
    assert list(in_background([], ahead=1)) == []


def test_a_thread_that_waits_is_interrupted_when_nobody_takes_more_also_by_an_exception() -> None:
    woken = threading.Event()

    def numbers() -> Iterator[int]:
        yield 0
        woken.wait(60)

    items = in_background(numbers(), ahead=1, interrupt=woken.set)
    assert next(items) == 0
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        items.throw(KeyboardInterrupt)
    assert time.monotonic() - start < 10


def test_who_is_slow_gets_the_newest_item_and_is_told_what_was_left_out() -> None:
    left_out: list[int] = []
    made = threading.Event()

    def numbers() -> Iterator[int]:
        yield 0
        first.wait()
        yield from range(1, 10)
        made.set()

    first = threading.Event()
    items = in_background(numbers(), ahead=1, left_out=left_out.append)
    assert next(items) == 0
    first.set()
    made.wait()
    assert list(items) == [9]
    assert left_out == list(range(1, 9))
