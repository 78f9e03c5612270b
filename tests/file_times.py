"""A plugin of pytest: files with slow tests come first, every file is timed, and long ones are left out on request.

It goes by files, because tests of a file share what they compile.
"""

import collections
import pathlib

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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts files with slow tests first, so that processes end together, and leaves out long files on request."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    limit = config.getoption("quick")
    if limit is None:
        items.sort(key=lambda item: item.path not in slow)
        return
    fast = [item for item in items if not item.get_closest_marker("slow")]
    paths = _quickest({item.path for item in fast}, config, limit)
    chosen = {item for item in fast if item.path in paths}
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def _quickest(paths: set[pathlib.Path], config: pytest.Config, limit: float) -> set[pathlib.Path]:
    """Chooses the files that took least time, and all that were never timed, such as new ones."""
    timed = {} if config.cache is None else config.cache.get(_SECONDS, {})
    if not timed:
        raise pytest.UsageError("no file has been timed yet: run `make test` once")
    seconds = {path: timed.get(path.relative_to(ROOT).as_posix(), 0.0) for path in paths}
    chosen: set[pathlib.Path] = set()
    for path in sorted(paths, key=lambda path: (seconds[path], path)):
        limit -= seconds[path]
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
