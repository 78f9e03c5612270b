"""The run of ten minutes: what fails costs no more than itself, what is done is kept, and every gap has its reason."""

import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator

import accelerator_environment
import accelerator_packages
import accelerator_run
import accelerator_tables
import carried_wheels
import jax
import matmul_rate
import model
import pytest
import step_process
from frameworks_in_this_process import HereInThisProcess
from step_process import Step, run_step
from step_record import begin_attempt, close_attempt, read_record, record_file, write_record

BENCHMARKS = pathlib.Path(accelerator_run.__file__).parent

# Every call notes its name, so that repeated ones are seen. While `broken` is there, parts fail.
FAKE = """
import functools, os, pathlib, signal, time

HERE = pathlib.Path(__file__).parent

def note(name):
    with (HERE / "called").open("a") as file:
        file.write(name + "\\n")

def part(name, harm=lambda: None):
    note(name)
    if (HERE / "broken").exists():
        harm()
    return {"of": name}

def fail():
    raise ValueError("no such kernel\\nand more")

def parts(rehearsal):
    harms = {"raises": fail, "crashes": lambda: os.kill(os.getpid(), signal.SIGSEGV), "exits": lambda: os._exit(3)}
    harms["hangs"] = lambda: time.sleep(60)
    for name in ("first", "raises", "crashes", "exits", "hangs", "last"):
        yield name, functools.partial(part, name, harms.get(name, lambda: None))

def slow(rehearsal):
    yield "quick", functools.partial(part, "quick")
    yield "endless", functools.partial(part, "endless", lambda: time.sleep(60))
    yield "later", functools.partial(part, "later")

def before(rehearsal):
    yield "before", functools.partial(part, "before")

def kills_the_run(rehearsal):
    yield "killer", functools.partial(part, "killer", lambda: (os.kill(os.getppid(), signal.SIGKILL), time.sleep(60)))

def lacks(rehearsal):
    yield "requirements", lambda: {"jax": [], "torch": ["PyTorch is missing."]}
"""


@pytest.fixture
def fake(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder with a module `fake_steps` that processes of steps can import."""
    (tmp_path / "fake_steps.py").write_text(FAKE)
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"PYTHONPATH": str(tmp_path)})
    (tmp_path / "broken").touch()
    return tmp_path


def called(folder: pathlib.Path) -> list[str]:
    notes = folder / "called"
    return notes.read_text().split() if notes.exists() else []


def step(function: str, *, seconds: float = 300, item_seconds: float = 300, needs: tuple[str, ...] = ()) -> Step:
    return Step(function, "fake_steps", function, seconds, item_seconds, needs)


def let_time_pass(monkeypatch: pytest.MonkeyPatch, record: pathlib.Path, item: str, *clocks: str) -> None:
    """Has clocks of the watching process jump once an item was called: on a busy machine, no short limit is safe."""

    def jumping(now: Callable[[], float]) -> Callable[[], float]:
        def read() -> float:
            is_running = read_record(record)["items"].get(item, {}).get("state") == "running"
            return now() + (1000 if is_running and item in called(record.parent) else 0)

        return read

    stand_in = types.SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=time.sleep)
    for clock in clocks:
        setattr(stand_in, clock, jumping(getattr(time, clock)))
    monkeypatch.setattr(step_process, "time", stand_in)


def test_an_exception_a_crash_and_a_hang_cost_their_part_and_are_tried_again(
    fake: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_time_pass(monkeypatch, record_file(fake, "parts"), "hangs", "time")
    parts = step("parts", seconds=300, item_seconds=300)
    record = run_step(parts, fake, rehearsal=True, seconds=300)
    assert record == read_record(record_file(fake, "parts"))
    assert record["state"] == "stopped"
    assert record["reason"] == "4 of 6 parts failed: raises, crashes, exits, hangs"
    reasons = {name: item.get("reason", "") for name, item in record["items"].items()}
    assert reasons["raises"] == "ValueError: no such kernel"
    assert "ended by SIGSEGV" in reasons["crashes"]
    assert "ended with status 3" in reasons["exits"]
    assert "longer than 300 s" in reasons["hangs"]
    assert record["items"]["last"]["result"] == {"of": "last"}
    assert called(fake) == ["first", "raises", "crashes", "exits", "hangs", "last"]

    (fake / "broken").unlink()
    monkeypatch.setattr(step_process, "time", time)
    again = run_step(parts, fake, rehearsal=True, seconds=300)
    assert (again["state"], again["reason"]) == ("finished", "")
    assert called(fake)[6:] == ["raises", "crashes", "exits", "hangs"], "only what had failed is repeated"
    assert again["seconds"] > record["seconds"]


def test_a_step_that_takes_too_long_keeps_what_it_has(fake: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_time_pass(monkeypatch, record_file(fake, "slow"), "endless", "monotonic")
    record = run_step(step("slow", seconds=300), fake, rehearsal=True, seconds=900)
    assert record["state"] == "stopped"
    assert "was used up" in record["reason"]
    assert [record["items"][name]["state"] for name in ("quick", "endless")] == ["finished", "failed"]
    assert "later" not in called(fake)


def test_a_step_that_cannot_be_imported_says_so_once(fake: pathlib.Path) -> None:
    record = run_step(Step("gone", "no_such_module", "items", 300, 300), fake, rehearsal=True, seconds=300)
    assert record["state"] == "stopped"
    assert "ModuleNotFoundError: No module named 'no_such_module'" in record["reason"]


def test_a_run_that_is_killed_goes_on_where_it_ended(fake: pathlib.Path) -> None:
    program = (
        "import sys, accelerator_run, pathlib; from step_process import Step\n"
        "steps = [Step(name, 'fake_steps', name, 300, 300) for name in ('before', 'kills_the_run')]\n"
        "accelerator_run.run(pathlib.Path(sys.argv[1]), steps, rehearsal=True, seconds=300)"
    )
    environment = os.environ | {"PYTHONPATH": f"{BENCHMARKS}{os.pathsep}{fake}"}
    command = [sys.executable, "-c", program, str(fake)]
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == -signal.SIGKILL
    (fake / "broken").unlink()
    steps = [step("before"), step("kills_the_run")]
    records = accelerator_run.run(fake, steps, rehearsal=True, seconds=300)
    assert called(fake) == ["before", "killer", "killer"]
    assert {record["state"] for record in records.values()} == {"finished"}
    accelerator_run.run(fake, steps, rehearsal=True, seconds=30, again=["before"])
    assert called(fake)[3:] == ["before"]
    # What tiny shapes gave is no result of the large ones.
    accelerator_run.run(fake, steps, rehearsal=False, seconds=300)
    assert called(fake)[4:] == ["before", "killer"]


def test_a_step_without_what_it_needs_or_without_time_is_left_out_with_the_reason(fake: pathlib.Path) -> None:
    steps = [step("lacks"), step("before", needs=("jax", "torch"))]
    records = accelerator_run.run(fake, steps, rehearsal=True, seconds=300)
    assert (records["before"]["state"], records["before"]["reason"]) == ("left out", "PyTorch is missing.")
    text = accelerator_tables.tables({"operators": records["before"]})
    assert "Not measured: PyTorch is missing." in text
    assert "Not measured: the run did not get there." in text
    late = accelerator_run.run(fake / "late", [step("before")], rehearsal=True, seconds=0)
    assert "used up" in late["before"]["reason"]


def test_a_damaged_record_is_begun_anew(tmp_path: pathlib.Path) -> None:
    path = record_file(tmp_path, "profile")
    for text in ("", "{", "[]", '{"items": 3}'):
        path.write_text(text)
        assert read_record(path)["items"] == {}


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_rehearsal_measures_everything_and_prints_the_tables(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As long as it takes: how busy the machine is does not matter here.
    monkeypatch.setattr(sys, "argv", ["accelerator_run.py", "--rehearsal", "--minutes=1000", "--out", str(tmp_path)])
    accelerator_run.main()
    printed = capsys.readouterr().out
    for row in (
        "| nvidia-smi |",
        "| JAX's best bfloat16 flops |",
        "| cost-volume attention, 2 pairs of 4 x 4, 2 heads of 8, K = 7 | default |",
        "| training step of timesformer_tiny | default |",
        "| 8 tokens, 1 heads of 8 | forward and backward |",
        "cudnn: not measured: not here:",
        "| timesformer_tiny, 2 x 2 x 16 x 16 x 3 | train step | pytorch |",
        "| blocks | backward |",
        "| elementwise fusions |",
        "| operation | category |",
    ):
        assert row in printed, row
    assert "**" not in printed, "nothing disagrees"
    assert "Not measured" not in printed
    # What a reader makes of the records later is the same, and nothing is measured again.
    monkeypatch.setattr(accelerator_run, "run_step", None)
    monkeypatch.setattr(sys, "argv", ["accelerator_run.py", "--only-tables", "--out", str(tmp_path)])
    accelerator_run.main()
    assert printed.endswith(capsys.readouterr().out)

    record = json.loads(record_file(tmp_path, "correctness").read_text())
    ways = record["items"]["GELU"]["result"]
    ways["bfloat16"]["default"] |= {"error": "nan", "agrees": False}
    write_record(record_file(tmp_path, "correctness"), record)
    with pytest.raises(SystemExit) as ended:
        accelerator_run.main()
    assert ended.value.code == accelerator_run.DIFFERENT
    assert "**nan, above 6e-02**" in capsys.readouterr().out


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has the steps work here, which saves importing the frameworks in each."""

    def run_here(each: Step, folder: pathlib.Path, *, rehearsal: bool, seconds: float) -> dict:
        path = record_file(folder, each.name)
        record = read_record(path)
        begin_attempt(record, rehearsal=rehearsal)
        write_record(path, record)
        module = __import__(each.module)
        step_process.work(getattr(module, each.function)(rehearsal=rehearsal), path)
        record = read_record(path)
        close_attempt(record, "")
        write_record(path, record)
        return record

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(accelerator_run, "run_step", run_here)
    monkeypatch.setattr(model, "Framework", HereInThisProcess)
    monkeypatch.setattr(matmul_rate, "SIZES", (64,))
    with jax.numpy_dtype_promotion("standard"):  # which Optax relies on
        yield


def test_what_a_machine_lacks_is_said_with_the_way_to_bring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12", "optax", "triton")
    there = accelerator_packages.is_there
    for module in (accelerator_packages, accelerator_environment):
        monkeypatch.setattr(module, "is_there", lambda package: package.module not in absent and there(package))
    found = accelerator_environment.requirements(on_gpu=True)
    plugin, small = found["jax"]
    assert "JAX's CUDA plugin is missing" in plugin
    assert "must be on the machine beforehand, as by `pip install 'jax[cuda13]'`" in plugin
    assert "optax>=0.2.8" in small
    assert "carried_wheels.py --out wheels 'optax>=0.2.8'`" in small
    assert "triton is missing" in found["compile"][0]
    monkeypatch.setattr(accelerator_packages, "version", lambda package: "0.1" if package.name == "flax" else None)
    assert accelerator_packages.lacking(accelerator_packages.CARRIED[:1]) == ["flax>=0.12.7"]


def test_a_framework_without_a_gpu_is_named() -> None:
    (sentence,) = accelerator_environment._without_gpu("JAX", lambda: ["cpu"])
    assert sentence.startswith("JAX sees no GPU, only cpu: check")


def test_wheels_that_are_more_than_can_be_carried_are_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(command: list[str], size: int, check: bool) -> subprocess.CompletedProcess:
        (tmp_path / f"{command[-1].partition('>')[0]}-1-py3-none-any.whl").write_bytes(bytes(size))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(carried_wheels.subprocess, "run", functools.partial(download, size=600_000))
    monkeypatch.setattr(sys, "argv", ["carried_wheels.py", "--out", str(tmp_path), "--limit", "1", "flax>=0.12.7"])
    carried_wheels.main()
    assert "0.60 MB in 1 wheel" in capsys.readouterr().out
    sys.argv[-1] = "optax"
    with pytest.raises(SystemExit, match=r"1\.2 MB are more than the 1 MB"):
        carried_wheels.main()
