"""Threads that work ahead keep the order, hold no more than they may, and end with whoever takes their results."""

import threading
import time

import pytest

from motion_vit.data.workers.ordered_threads import in_threads


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 4), (3, 1), (3, 2), (4, 9)])
def test_results_come_in_order_and_no_more_are_made_than_may_be_ready(threads: int, ahead: int) -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.002 * (number % 3))
        return 10 * number

    for taken, result in enumerate(in_threads(work, range(12), threads=threads, ahead=ahead)):
        assert result == 10 * taken
        assert len(begun) <= taken + 1 + ahead
    assert sorted(begun) == list(range(12))


def test_the_next_ones_are_worked_on_while_a_result_is_used() -> None:
    done = threading.Event()

    def work(number: int) -> None:
        if number == 2:
            done.set()

    results = in_threads(work, range(3), threads=1, ahead=2)
    next(results)
    assert done.wait(10)
    results.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_comes_at_its_place_and_ends_the_threads(error: type[BaseException]) -> None:
    def work(number: int) -> int:
        if number == 1:
            raise error
        return number

    before = threading.active_count()
    results = in_threads(work, range(1000), threads=2, ahead=4)
    assert next(results) == 0
    with pytest.raises(error):
        next(results)
    assert threading.active_count() == before


def test_who_takes_no_more_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    results = in_threads(str, range(1000), threads=2, ahead=4)
    assert next(results) == "0"
    results.close()
    assert threading.active_count() == before
    assert list(in_threads(str, [], threads=2, ahead=4)) == []
