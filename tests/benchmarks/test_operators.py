import argparse
import statistics
import sys
import time

import operator_cases
import operators
import pytest

CASES = {
    "cost-volume attention": operator_cases.cost_volume_case(2, 3, 5, heads=2, channels=8),
    "depthwise convolution": operator_cases.depthwise_case(2, 4, 5, channels=8, size=3),
    "global attention": operator_cases.global_attention_case(2, 20, heads=2, channels=8),
}


def options(**changes: object) -> argparse.Namespace:
    values = {"forms": "all", "dtype": "float32", "repeats": 2, "seconds": 60.0, "memory_limit": 1.0, "clock": "wall"}
    return argparse.Namespace(**({"compile_threads": 1} | values | changes))


@pytest.mark.fast_cases("depthwise convolution")
@pytest.mark.parametrize("name", CASES)
def test_every_form_is_timed_on_the_computation_that_pytorch_does(name: str) -> None:
    found = operators.run_case(CASES[name], options())
    for rows in found.values():
        timed = {form: row for form, row in rows.items() if row.seconds}
        assert set(rows) - set(timed) <= {"cudnn"}, "only cuDNN's form cannot run without a GPU"
        assert all(len(row.seconds) == 2 for row in timed.values())
        assert {form for form in timed if form.startswith("pytorch")} == set(CASES[name].pytorch)
        assert max(row.difference for form, row in timed.items() if form != "pytorch") < 1e-5
        assert all(row.peak_mb is not None and row.peak_mb >= 0 for row in timed.values()) or sys.platform != "linux"
    text = operators.table(CASES[name], found, "float32")
    assert len(text.splitlines()) == 4 + len(found["forward"])
    cells = next(line for line in text.splitlines() if line.startswith("| pytorch |")).split(" | ")
    seconds = statistics.median(found["forward"]["pytorch"].seconds)
    assert float(cells[3]) == pytest.approx(CASES[name].flops(backward=False) / seconds / 1e9, rel=0.01)


def test_processor_time_leaves_waiting_out() -> None:
    by_clock = {}
    for clock in operators.CLOCKS:
        rows = {"sleep": operators.Row()}
        operators._take_turns({"sleep": lambda: time.sleep(0.1)}, rows, options(clock=clock))
        by_clock[clock] = max(rows["sleep"].seconds)
    assert by_clock["wall"] >= 0.1 > by_clock["processor"]


def test_a_form_that_needs_more_memory_than_allowed_says_how_much() -> None:
    case = CASES["cost-volume attention"]
    found = operators.run_case(case, options(forms="xla_window", memory_limit=1e-6))
    row = found["f+b"]["xla_window"]
    assert (row.seconds, row.note[:5]) == ([], "needs")


def test_floors_are_those_of_the_definition() -> None:
    case = operator_cases.depthwise_case(1, 2, 3, channels=5, size=3)
    video, kernel = 2 * 3 * 3 * 5, 27 * 5
    assert case.floor_bytes(4, backward=False) == 4 * (2 * video + kernel)
    assert case.floor_bytes(4, backward=True) == 4 * (2 * video + kernel + 3 * video + 2 * kernel)
    assert case.flops(backward=False) == 2 * video * 27
