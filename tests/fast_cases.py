"""A plugin of pytest: the cases of a test that `@pytest.mark.fast_cases` names are fast, and its other cases slow.

    @pytest.mark.fast_cases("resnet18_tiny-*", "vivit_tiny-float32")
    @pytest.mark.parametrize("dtype", ...)
    @pytest.mark.parametrize("name", ...)

A pattern is as in names of files (`fnmatch`), and is compared with all that stands in the brackets behind the test's
name, of whatever decorators and fixtures it is made. The slow cases get the mark `slow`.
"""

import fnmatch
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, object, object]:
    """Marks the cases of a test as they are made: all of them, also where only some are then run."""
    made = yield
    if isinstance(made, list) and made:
        _mark_slow_cases(collector, made)
    return made


def _mark_slow_cases(collector: pytest.Collector, cases: list[pytest.Function]) -> None:
    """Marks what no pattern of the test's mark fits, and tells of a pattern that fits no case."""
    mark = cases[0].get_closest_marker("fast_cases")
    if mark is None:
        return
    ids = [case.callspec.id if hasattr(case, "callspec") else "" for case in cases]
    unused = [pattern for pattern in mark.args if not any(fnmatch.fnmatchcase(found, pattern) for found in ids)]
    if unused or not mark.args:
        named = " and ".join(map(repr, unused)) or "nothing"
        raise collector.CollectError(
            f"fast_cases of {cases[0].originalname} names {named}, but its cases are: {', '.join(map(repr, ids))}"
        )
    for case, found in zip(cases, ids, strict=True):
        if not any(fnmatch.fnmatchcase(found, pattern) for pattern in mark.args):
            case.add_marker(pytest.mark.slow)
