"""The peak arithmetic rate of a framework on a machine, measured with one large matrix product."""

import time
from collections.abc import Callable

SIZES = (1024, 2048, 4096, 8192, 16384)
REPEATS = 5
LONG_ENOUGH = 0.25
"""Seconds of a product after which larger ones do no better: what surrounds a call is nothing beside it."""


def best_matmul_rate(prepare: Callable[[int], Callable[[], object]]) -> float:
    """Measures the best rate of products of square matrices of growing size.

    Args:
      prepare: makes two matrices of a size and returns a call that multiplies them and waits for the result.

    Returns:
      Floating point operations a second, a multiply-add being two.
    """
    best = 0.0
    for size in SIZES:
        multiply = prepare(size)
        multiply()  # compiles
        fastest = min(_seconds(multiply) for _ in range(REPEATS))
        best = max(best, 2 * size**3 / fastest)
        if fastest > LONG_ENOUGH:
            break
    return best


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
