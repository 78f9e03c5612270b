"""A plugin of pytest: files that take long come first, every file is timed, and long ones are left out on request.

It goes by files, because tests of a file share what they compile.
"""

import collections
import math
import pathlib
from collections.abc import Generator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
_SECONDS = "motion_vit/file_seconds"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of `make test` and `make quick`."""
    parser.addoption("--time-files", action="store_true", help="keep how long each file takes, for --quick")
    about = "run the files alone that took least time when all were timed, together at most so many seconds"
    parser.addoption("--quick", type=float, metavar="SECONDS", help=about)


def pytest_configure(config: pytest.Config) -> None:
    """Times files on request, in the process that hears of all tests."""
    if config.getoption("time_files") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_FileTimes(config))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Puts files that take long first, so that processes end together, and leaves them out on request."""
    # Where no file was timed yet. Looked for before `-m` leaves out the slow tests themselves.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    yield
    limit = config.getoption("quick")
    if limit is None:
        seconds = _seconds(config, {item.path for item in items})
        items.sort(key=lambda item: (-seconds.get(item.path, math.inf), item.path not in slow))
        return
    fast = [item for item in items if not item.get_closest_marker("slow")]
    paths = _quickest({item.path for item in fast}, config, limit)
    chosen = {item for item in fast if item.path in paths}
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def _seconds(config: pytest.Config, paths: set[pathlib.Path]) -> dict[pathlib.Path, float]:
    """Reads how long files took when all were timed; a new one is not among them."""
    timed = {} if config.cache is None else config.cache.get(_SECONDS, {})
    found = {path: timed.get(path.relative_to(ROOT).as_posix()) for path in paths if path.is_relative_to(ROOT)}
    return {path: seconds for path, seconds in found.items() if seconds is not None}


def _quickest(paths: set[pathlib.Path], config: pytest.Config, limit: float) -> set[pathlib.Path]:
    """Chooses the files that took least time, and all that were never timed, such as new ones."""
    timed = _seconds(config, paths)
    if not timed:
        raise pytest.UsageError("no file has been timed yet: run `make test` once")
    chosen: set[pathlib.Path] = set()
    for path in sorted(paths, key=lambda path: (timed.get(path, 0.0), path)):
        limit -= timed.get(path, 0.0)
        if limit >= 0:
            chosen.add(path)
    return chosen


class _FileTimes:
    """Sums up how long the tests of each file take."""

    def __init__(self, config: pytest.Config) -> None:
        self.cache = config.cache
        self.seconds: collections.Counter[str] = collections.Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds the setup, the call or the teardown of a test."""
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Keeps the times in pytest's cache."""
        if self.cache is not None:
            self.cache.set(_SECONDS, self.seconds)
