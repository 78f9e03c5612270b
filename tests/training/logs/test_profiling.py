import gzip
import json
import pathlib

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from motion_vit.training.logs.profiling import Profiler, profiled_steps
from motion_vit.training.loop.loop import train


class Output:
    """What a step has computed: notes that it is waited for, as JAX does with whatever has this method."""

    def __init__(self, step: int, awaited: list[int]) -> None:
        self._step, self._awaited = step, awaited

    def block_until_ready(self) -> "Output":
        self._awaited.append(self._step)
        return self


def run(
    folder: pathlib.Path, steps: range | None, last: int, fail_at: int | None = None
) -> tuple[list[str], list[int]]:
    """Runs a loop of tiny steps; returns the lines it printed, and the steps whose outputs were waited for."""
    lines: list[str] = []
    awaited: list[int] = []
    compute = jax.jit(lambda x: x @ x)
    output = Output(0, awaited)
    with Profiler(folder, steps, lines.append) as profiler:
        for number in range(1, last + 1):
            with profiler.before_step(number, output):
                compute(jnp.ones((8, 8))).block_until_ready()
            output = Output(number, awaited)
            profiler.after_step(number, output)
            if number == fail_at:
                raise KeyboardInterrupt
    return lines, awaited


def traced_steps(folder: pathlib.Path) -> list[int]:
    """Numbers of the steps in the newest trace."""
    trace = sorted(folder.glob("profile/plugins/profile/*/*.trace.json.gz"))[-1]
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    return sorted(int(event["args"]["step_num"]) for event in events if event.get("name") == "train")


def test_a_trace_has_the_steps_that_were_asked_for_and_says_where_it_is(tmp_path: pathlib.Path) -> None:
    lines, awaited = run(tmp_path, range(3, 6), last=7)
    assert traced_steps(tmp_path) == [3, 4, 5]
    # Nothing of the step before is in the trace, and all of the last one.
    assert awaited == [2, 5]
    assert "steps 3 to 5" in lines[0]
    trace = lines[-1].split()[2]
    assert trace.endswith(".trace.json.gz")
    assert pathlib.Path(trace).exists()


def test_a_trace_that_the_end_of_the_run_cuts_short_is_kept(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, range(2, 5), last=5, fail_at=3)
    assert traced_steps(tmp_path) == [2, 3]


def test_a_run_without_steps_to_trace_writes_nothing(tmp_path: pathlib.Path) -> None:
    assert run(tmp_path, None, last=3) == ([], [])
    lines, awaited = run(tmp_path, range(0), last=3)
    assert "no profile" in lines[0]
    assert awaited == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("light_runs")
def test_training_with_a_profile_traces_its_last_steps_if_it_is_short(
    small_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_config.data.validation = ""
    train(small_config, tmp_path, devices=jax.devices()[:1], profile=True)
    assert traced_steps(tmp_path) == [4, 5, 6]
    assert f"profile of steps 4 to 6: {tmp_path / 'profile'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("done", "last", "steps"),
    [
        (0, 1000, [11, 12, 13]),
        (500, 1000, [511, 512, 513]),
        (0, 8, [6, 7, 8]),  # too short for the whole warm-up
        (0, 3, [2, 3]),  # the first step compiles
        (0, 1, []),
        (7, 7, []),
    ],
)
def test_steps_are_traced_after_warm_up(done: int, last: int, steps: list[int]) -> None:
    assert list(profiled_steps(done, last)) == steps
