"""Tracking services and writers of one's own: a failure costs a line, and a run that is continued stays one run."""

import importlib.util
import json
import pathlib
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, get_args

import jax
import pytest
from ml_collections import ConfigDict

import motion_vit
from motion_vit import UserError
from motion_vit.training.logs import background_writer, writers
from motion_vit.training.logs.background_writer import BackgroundWriter
from motion_vit.training.logs.metric_writer import MetricWriter
from motion_vit.training.logs.optional_writer import OptionalWriter
from motion_vit.training.logs.tracked_run import TRACKING_FILE, TrackedRun
from motion_vit.training.logs.writers import Writers, check_writers, read_json_lines
from motion_vit.training.loop.loop import train
from motion_vit.training.recipe.config import WriterName

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record

CONFIG = {"name": "small", "data": {"train": "a\x1b[31m.csv", "mean": [0.45, 0.45]}, "seed": 0}


class Collector:
    """Keeps what it gets, and fails at a step, at opening or at closing."""

    def __init__(self, fail_at: int | str | None = None) -> None:
        self.records: list[tuple[int, str, dict[str, float]]] = []
        self.closed = 0
        self._fail_at = fail_at
        if fail_at == "opening":
            raise ConnectionError("no route\nto \x1b[31mhost")

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        if step == self._fail_at:
            raise ConnectionError("no route\nto \x1b[31mhost")
        self.records.append((step, split, dict(values)))

    def close(self) -> None:
        self.closed += 1
        if self._fail_at == "closing":
            raise ConnectionError("no route\nto \x1b[31mhost")

    @property
    def steps(self) -> list[int]:
        return [step for step, _, _ in self.records]


def write_steps(all_writers: Writers, *steps: int) -> None:
    for step in steps:
        all_writers.write(step, "train", {"loss": 1.0 / step, "grad_norm": float("nan")})


def records_of(file: bytes) -> Iterator[bytes]:
    """Reads a file of an offline run, a log of LevelDB: parts of records in blocks of 32 KiB, behind a header."""
    position, record = 7, b""
    while position + 7 <= len(file):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack_from("<HB", file, position + 4)
        if position + 7 + length > len(file):  # is being written
            return
        record += file[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def wait_for_records(file: pathlib.Path) -> "list[Record]":
    """Reads an offline run once its last record is there: wandb's other process may write after the run has ended."""
    from wandb.proto.wandb_internal_pb2 import Record

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        records = [Record.FromString(data) for data in records_of(file.read_bytes())]
        if records and records[-1].HasField("exit"):
            return records
        time.sleep(0.05)
    raise AssertionError(f"{file} has no end")


def test_the_recipe_and_the_writers_name_the_same_services() -> None:
    assert set(get_args(WriterName)) == {"tensorboard", *writers._PACKAGES}
    assert isinstance(Collector(), motion_vit.MetricWriter)
    assert motion_vit.MetricWriter is MetricWriter


def test_metrics_are_kept_whatever_the_recipe_names(tmp_path: pathlib.Path) -> None:
    with Writers(TrackedRun(tmp_path, "small", {}), 0, names=()) as none:
        write_steps(none, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert read_json_lines(tmp_path / "metrics.jsonl") == [{"step": 1, "split": "train", "loss": 1.0}]


@pytest.mark.parametrize(
    ("fail_at", "steps"), [(None, [1, 2, 3]), (1, []), (2, [1]), (3, [1, 2]), ("closing", [1, 2, 3])]
)
@pytest.mark.parametrize("in_thread", [False, True])
def test_a_writer_that_fails_costs_one_line(
    fail_at: int | str | None, steps: list[int], in_thread: bool, tmp_path: pathlib.Path
) -> None:
    lines: list[str] = []
    own, other = Collector(fail_at), Collector()
    failing = BackgroundWriter(lambda: own) if in_thread else own
    with Writers(TrackedRun(tmp_path, "small", {}), 0, others=[failing, other], report=lines.append) as all_writers:
        write_steps(all_writers, 1, 2, 3)
    assert (own.steps, own.closed) == (steps, 1)
    assert (other.steps, other.closed) == ([1, 2, 3], 1)
    assert other.records[1] == (2, "train", {"loss": 0.5})
    assert len(read_json_lines(tmp_path / "metrics.jsonl")) == 3
    assert len(lines) == (fail_at is not None)
    if fail_at is not None:
        name = type(failing).__name__
        assert f"the metric writer {name} failed" in lines[0]
        assert r"(ConnectionError: no route to \x1b[31mhost)" in lines[0]
        assert "the training goes on" in lines[0]


def test_a_service_that_cannot_be_opened_costs_one_line() -> None:
    lines: list[str] = []
    writer = OptionalWriter("wandb", BackgroundWriter(lambda: Collector("opening")), lines.append)
    for step in range(100):
        writer.write(step, "train", {})
    writer.close()
    assert len(lines) == 1


def test_a_service_that_hangs_is_left_behind_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_writer, "CLOSING_SECONDS", 0.05)
    released, lines = threading.Event(), []

    class Hanging(Collector):
        def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
            released.wait()

    writer = OptionalWriter("mlflow", BackgroundWriter(Hanging), lines.append)
    writer.write(1, "train", {})
    writer.write(2, "train", {})
    writer.close()
    assert "TimeoutError: it has not taken everything within 0.05 s" in lines[0]
    released.set()


def test_a_service_gets_no_step_twice_and_only_one_process_has_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Collector] = []

    def open_service(name: str, run: TrackedRun) -> Collector:
        opened.append(Collector())
        return opened[-1]

    monkeypatch.setattr(writers, "_open_service", open_service)
    run = TrackedRun(tmp_path, "small", CONFIG)
    for active in (False, True):
        with Writers(run, 0, names=("mlflow", "tensorboard"), active=active) as all_writers:
            write_steps(all_writers, 1, 2, 3)
    with Writers(run, 1, names=("mlflow",)) as all_writers:  # killed behind the checkpoint of step 1
        write_steps(all_writers, 2, 3, 4)
        all_writers.write(4, "validation", {"top1": 0.5})
    assert [(one.records[0][0], one.steps, one.closed) for one in opened] == [(1, [1, 2, 3], 1), (4, [4, 4], 1)]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"wandb": 3}', '{"wandb": "../x"}', '{"wandb": ""}', "\udcff"])
def test_a_damaged_file_of_ids_begins_a_new_run(content: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / TRACKING_FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    run = TrackedRun(tmp_path, "small", {})
    assert run.id_of("wandb") == ""
    run.keep_id("wandb", "abc-1")
    run.keep_id("mlflow", "def")
    assert (run.id_of("wandb"), run.id_of("mlflow")) == ("abc-1", "def")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_told_before_training(
    name: str, small_config: ConfigDict, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None if package == name else find(package))
    small_config.log.writers = ("tensorboard", name)
    with pytest.raises(UserError, match=rf"needs the package {name}.*pip install 'motion_vit\[{name}\]'"):
        train(small_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_service_without_a_place_for_runs_is_told_before_training(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda package: (package != "sqlalchemy" and find(package)) or None
    )
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match=r"MLFLOW_TRACKING_URI is not set.*install mlflow"):
        check_writers(("mlflow",))
    for variable in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where logins are kept
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    with pytest.raises(UserError, match=r"nobody is logged in.*`wandb login`.*WANDB_MODE=offline"):
        check_writers(("wandb",))


@pytest.mark.slow
def test_wandb_has_one_run_with_the_recipe(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for variable in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "own"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    run, lines = TrackedRun(tmp_path / "run", "small", CONFIG), []
    run.workdir.mkdir()
    check_writers(("wandb",))
    points, ids = {}, set()
    for start in (0, 2):
        with Writers(run, start, names=("wandb",), report=lines.append) as all_writers:
            write_steps(all_writers, start + 1, start + 2)
        # Read each time: wandb names offline runs by the second, so that the next may take the place of this one.
        for file in run.workdir.glob("wandb/offline-run-*/*.wandb"):
            for record in wait_for_records(file):
                if record.HasField("run"):
                    ids.add(record.run.run_id)
                    config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
                    assert {name: config[name] for name in CONFIG} == CONFIG
                    assert (record.run.project, record.run.display_name) == ("motion_vit", "small")
                if record.HasField("history"):
                    items = record.history.item
                    values = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in items}
                    points[values["step"]] = values["train/loss"]
    assert lines == []
    assert ids == {run.id_of("wandb")}
    assert points == {1: 1.0, 2: 0.5, 3: 1 / 3, 4: 0.25}


def test_mlflow_has_one_run_with_the_recipe(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    run, lines = TrackedRun(tmp_path, "small", CONFIG), []
    check_writers(("mlflow",))
    for start in (0, 2):
        with Writers(run, start, names=("mlflow",), report=lines.append) as all_writers:
            write_steps(all_writers, start + 1, start + 2)
    assert lines == []
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("motion_vit")
    [found] = client.search_runs([experiment.experiment_id])
    assert (found.info.run_id, found.info.run_name) == (run.id_of("mlflow"), "small")
    assert found.info.status == "FINISHED"
    expected = {"name": "small", "data.train": "a\x1b[31m.csv", "data.mean": "[0.45, 0.45]", "seed": "0"}
    assert found.data.params == expected
    history = client.get_metric_history(found.info.run_id, "train/loss")
    assert sorted((point.step, point.value) for point in history) == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    run.keep_id("mlflow", "0" * 32)  # of another store
    with Writers(run, 4, names=("mlflow",), report=lines.append) as all_writers:
        write_steps(all_writers, 5)
    assert lines == []
    assert len(client.search_runs([experiment.experiment_id])) == 2


@pytest.mark.usefixtures("light_runs")
def test_a_run_trains_on_without_its_broken_writer(
    small_config: ConfigDict, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, broken = Collector(), Collector(fail_at=2)
    small_config.log.writers = ()
    result = train(small_config, tmp_path, devices=jax.devices()[:1], writers=[broken, good])
    assert result.completed
    assert (good.steps, good.closed, broken.closed) == ([2, 3, 4, 6, 6], 1, 1)
    assert [split for _, split, _ in good.records] == ["train", "validation", "train", "train", "validation"]
    output = capsys.readouterr().out
    assert output.count("the metric writer Collector failed and gets no more of this run") == 1
    assert not (tmp_path / "tensorboard").exists()
