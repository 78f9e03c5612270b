import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from absl import logging as absl_logging

from motion_vit.training.checkpoints.errors import WithoutRepeatedErrors


def collect_the_young() -> None:
    """Collects what a test has made, without a look at all that the tests before it have left."""
    gc.collect(1)


def fail_unseen(defined_in: str, start: Callable[[Any], Any]) -> None:
    """Lets a coroutine of a file fail that nobody awaits."""
    names: dict[str, Any] = {}
    exec(compile("async def write(): raise ValueError('the disk is full')", defined_in, "exec"), names)

    async def fail() -> None:
        start(names["write"]())
        await asyncio.sleep(0.01)

    asyncio.run(fail())
    collect_the_young()


@pytest.mark.fast_cases("*-True-gather", "*-False-gather")
@pytest.mark.parametrize("start", [asyncio.ensure_future, asyncio.gather])
@pytest.mark.parametrize(("defined_in", "told"), [("/packages/orbax/serialization.py", False), ("/notebook.py", True)])
def test_of_failed_writes_that_nobody_awaits_only_those_of_orbax_are_silent(
    defined_in: str, told: bool, start: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    with WithoutRepeatedErrors():
        fail_unseen(defined_in, start)

    assert ("never retrieved" in caplog.text) == told


def test_errors_stay_silent_after_whoever_silenced_them_is_collected(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("asyncio"), "filters", [])
    monkeypatch.setattr(absl_logging.get_absl_logger(), "filters", [])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    WithoutRepeatedErrors().__enter__()
    collect_the_young()
    fail_unseen("/packages/orbax/serialization.py", asyncio.ensure_future)

    assert "never retrieved" not in caplog.text
