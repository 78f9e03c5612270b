"""The line about the first step says where the time until then went."""

import contextlib
import io
import pathlib
import re
from collections.abc import Callable, Iterator

import jax
import pytest
from ml_collections import ConfigDict

from motion_vit.training.loop.loop import train

PHASES = ["data", "model", "state", "trace", "first batch", "wait for the compiler", "step"]


@pytest.fixture(scope="module")
def started(
    new_small_config: Callable[[], ConfigDict], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[tuple[str, str]]]:
    """What two steps of a run say, and what JAX tells of its compiler meanwhile."""
    said = io.StringIO()
    with compiler_events() as events, contextlib.redirect_stdout(said), jax.numpy_dtype_promotion("standard"):
        train(new_small_config(), tmp_path_factory.mktemp("run"), devices=jax.devices()[:1], max_steps=2)
    return said.getvalue(), events


def test_a_start_tells_its_phases_which_add_up_to_it(started: tuple[str, list[tuple[str, str]]]) -> None:
    (line,) = re.findall(r"first step done after ([\d.]+) s: (.*) \(compile or load: ([\d.]+)\)", started[0])
    phases = {name: float(seconds) for name, seconds in re.findall(r"([a-z ]+) ([\d.]+)(?:, |$)", line[1])}
    assert list(phases) == PHASES
    assert sum(phases.values()) == pytest.approx(float(line[0]), abs=0.05 * (len(PHASES) + 1))
    assert phases["trace"] > 0
    assert phases["wait for the compiler"] <= float(line[2]) + 0.1


def test_the_step_is_traced_and_compiled_once_though_that_begins_before_its_first_call(
    started: tuple[str, list[tuple[str, str]]],
) -> None:
    _, events = started
    assert events.count(("jaxpr_trace_duration", "step")) == 1
    assert events.count(("backend_compile_duration", "jit(step)")) == 1


def test_a_finished_run_compiles_no_step(small_config: ConfigDict, finished_run: pathlib.Path) -> None:
    with compiler_events() as events:
        assert train(small_config, finished_run, devices=jax.devices()[:1]).completed
    assert "step" not in [name for _, name in events]


@contextlib.contextmanager
def compiler_events() -> Iterator[list[tuple[str, str]]]:
    """Collects what JAX tells about its compiler, by the event and the function's name."""
    events: list[tuple[str, str]] = []

    def listen(event: str, duration_secs: float, *, fun_name: str = "", **kwargs: str | int) -> None:
        events.append((event.rpartition("/")[2], fun_name))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
