"""The mark `fast_cases`, on a test that is written to a folder and collected there."""

import pytest

pytest_plugins = ["pytester"]

STACKED = """
import pytest

@pytest.mark.fast_cases{patterns}
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("name", ["a", "b"])
def test_it(name, size):
    pass
"""


def collected(pytester: pytest.Pytester, patterns: str, place: str = "test_stacked.py") -> list[str]:
    """The ids of the cases that are not slow, or what the error says."""
    pytester.makepyfile(test_stacked=STACKED.format(patterns=patterns))
    pytester.makeini("[pytest]\nmarkers =\n  slow\n  fast_cases\n")
    arguments = ["--strict-markers", "--collect-only", "--quiet", "-p", "fast_cases", "-m", "not slow"]
    lines = pytester.runpytest_inprocess(*arguments, place).outlines
    cases = [line.partition("[")[2].removesuffix("]") for line in lines if line.startswith("test_stacked.py::")]
    return cases or [line for line in lines if line.startswith("fast_cases of")]


def test_cases_that_fit_a_pattern_are_fast_and_the_others_slow(pytester: pytest.Pytester) -> None:
    assert sorted(collected(pytester, "('a-1', '*-2')")) == ["a-1", "a-2", "b-2"]


def test_a_pattern_that_fits_no_case_is_told_with_the_test_and_its_cases(pytester: pytest.Pytester) -> None:
    (message,) = collected(pytester, "('a-1', 'c-*')")
    assert message == "fast_cases of test_it names 'c-*', but its cases are: 'a-1', 'a-2', 'b-1', 'b-2'"


def test_a_mark_without_patterns_is_told(pytester: pytest.Pytester) -> None:
    (message,) = collected(pytester, "")
    assert message.startswith("fast_cases of test_it names nothing, but its cases are: 'a-1', ")


def test_where_one_case_is_asked_for_patterns_of_others_are_no_mistake(pytester: pytest.Pytester) -> None:
    assert collected(pytester, "('a-*', 'b-1')", "test_stacked.py::test_it[a-2]") == ["a-2"]
