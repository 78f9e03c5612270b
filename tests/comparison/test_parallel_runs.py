import multiprocessing
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from ml_collections import ConfigDict
from small_comparison import preset_row, reported, reported_runs

from motion_vit import UserError
from motion_vit.comparison.compare import compare
from motion_vit.comparison.comparison_run import LOG_FILE, ComparisonRun
from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.parallel_runs import finish_runs
from motion_vit.comparison.run_process import RunProcess
from motion_vit.comparison.run_result import RESULT_FILE

CONDITIONS = Conditions("", "", clips=1, crops=1, averaged=False)

# Spawned processes import it as well, and so know the small network.
LONELY_PROGRAM = f"""
import pathlib, signal, sys

sys.path.insert(0, {str(pathlib.Path(__file__).parents[1])!r})

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.run_process import RunProcess
from small_comparison import row

config = row()
config.data.train = config.data.validation = sys.argv[1]
config.epochs = 10_000.0
config.evaluation.every_epochs = 10_000.0

if __name__ == "__main__":
    conditions = Conditions("", "", clips=1, crops=1, averaged=False)
    process = RunProcess(ComparisonRun("left", 0, config, pathlib.Path(sys.argv[2]), conditions), 0, 1)
    signal.pause()
"""


@pytest.fixture(autouse=True)
def _one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes compile for one device, which takes less time."""
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ["XLA_FLAGS"])
    monkeypatch.setenv("XLA_FLAGS", flags)


def data_row(workdir: pathlib.Path) -> ConfigDict:
    config = preset_row()
    config.data.train = config.data.validation = str(workdir / "prepared")
    return config


def log_of(folder: pathlib.Path) -> str:
    path = folder / LOG_FILE
    return path.read_text(encoding="utf-8") if path.exists() else ""


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
def test_runs_side_by_side_finish_in_processes_of_their_own(
    workdir: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lost = data_row(workdir)
    lost.initial_weights = str(workdir / "nowhere")
    rows = {"lost": lost, "tiny": data_row(workdir)}
    with pytest.raises(UserError, match=r"(?s)1 of 2 runs failed:\n  row 'lost', seed 0 \(.*nowhere"):
        compare(rows, workdir, jobs=2)
    assert ("tiny", 0) in reported_runs(workdir)
    assert reported(workdir)[0]["steps"] == 2
    assert not capfd.readouterr().err


@pytest.mark.slow
def test_runs_side_by_side_save_after_a_signal_and_no_other_begins(workdir: pathlib.Path) -> None:
    long = data_row(workdir)
    long.epochs = 10_000.0
    long.evaluation.every_epochs = 10_000.0
    folders = [workdir / "runs" / name / "seed0" for name in ("a", "b")]

    def stop() -> None:
        wait_until(lambda: all("first step done" in log_of(folder) for folder in folders))
        # The scheduler tells the comparison alone, or the terminal each process as well.
        workers = multiprocessing.active_children()
        os.kill(os.getpid(), signal.SIGTERM)
        if workers[0].pid:
            os.kill(workers[0].pid, signal.SIGINT)

    thread = threading.Thread(target=stop)
    thread.start()
    assert not compare({"a": long, "b": long, "c": long}, workdir, jobs=2)
    thread.join()
    for folder in folders:
        assert re.findall("stopped after step .*; saved", log_of(folder))
        assert not (folder / RESULT_FILE).exists()
    assert not (workdir / "runs" / "c").exists()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_run_whose_comparison_is_killed_saves_and_ends(workdir: pathlib.Path) -> None:
    program, folder = workdir / "program.py", workdir / "left"
    program.write_text(LONELY_PROGRAM, encoding="utf-8")
    comparison = subprocess.Popen([sys.executable, str(program), str(workdir / "prepared"), str(folder)])
    try:
        wait_until(lambda: "first step done" in log_of(folder))
    finally:
        comparison.kill()
        comparison.wait()
    wait_until(lambda: "; saved" in log_of(folder))


def run(folder: pathlib.Path, seed: int = 3) -> ComparisonRun:
    return ComparisonRun("tiny", seed, preset_row(), folder, CONDITIONS)


def test_the_second_ctrl_c_ends_runs_side_by_side_at_once(tmp_path: pathlib.Path) -> None:
    def press() -> None:
        wait_until(lambda: len(multiprocessing.active_children()) == 2)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        list(finish_runs([run(tmp_path / str(seed), seed) for seed in range(3)], jobs=2))
    thread.join()
    assert not multiprocessing.active_children()


def test_after_a_signal_a_run_that_is_being_measured_is_finished_and_no_other_begins(tmp_path: pathlib.Path) -> None:
    begun = []

    class Measured(ComparisonRun):
        def finish(self) -> UserError:
            begun.append(self.seed)
            signal.raise_signal(signal.SIGTERM)
            return UserError("measured")

    runs = [Measured("tiny", seed, preset_row(), tmp_path, CONDITIONS) for seed in range(3)]
    outcomes = [outcome for _, outcome in finish_runs(runs, jobs=1)]
    assert begun == [0]
    assert str(outcomes[0]) == "measured"
    assert outcomes[1:] == [None, None]


def test_a_process_that_dies_is_named(tmp_path: pathlib.Path) -> None:
    process = RunProcess(run(tmp_path), 0, 1)
    process.kill()
    outcome = process.outcome()
    assert isinstance(outcome, UserError)
    assert re.match(r"row 'tiny', seed 3 \(.*\): its process was ended by SIGKILL, .*memory", str(outcome))
