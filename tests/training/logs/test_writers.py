import json
import pathlib
import sys
import types
from collections.abc import Iterator

import pytest
from full_disk import files_of_at_most
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from motion_vit import UserError
from motion_vit.training.logs.curves import draw_curves
from motion_vit.training.logs.tracked_run import TrackedRun
from motion_vit.training.logs.writers import JsonLinesWriter, Writers, read_json_lines


@pytest.fixture(scope="module", autouse=True)
def tensorboard_alone() -> Iterator[None]:
    """Has TensorBoard read events by its own code: to import TensorFlow for it takes longer than all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))
        yield


def write_steps(folder: pathlib.Path, from_step: int, steps: list[int]) -> None:
    with Writers(TrackedRun(folder, "small", {}), from_step) as writers:
        for step in steps:
            writers.write(step, "train", {"loss": 10.0 - step, "top1": step / 10})
        writers.write(steps[-1], "validation", {"top1": 0.5})


def test_records_of_steps_that_are_done_again_are_replaced(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, 0, [1, 2, 3])
    write_steps(tmp_path, 2, [3, 4])
    records = read_json_lines(tmp_path / "metrics.jsonl")
    assert [(record["split"], record["step"]) for record in records] == [
        ("train", 1),
        ("train", 2),
        ("train", 3),
        ("train", 4),
        ("validation", 4),
    ]
    assert records[0] == {"step": 1, "split": "train", "loss": 9.0, "top1": 0.1}


def test_a_line_that_was_cut_off_is_dropped(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, 0, [1, 2])
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 3, "spl')
    assert [record["step"] for record in read_json_lines(path)] == [1, 2, 2]
    write_steps(tmp_path, 2, [3])
    assert [record["step"] for record in read_json_lines(path)] == [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    "line",
    [
        b'{"step": 1, "split": "train", "loss": ',
        b"[" * 100_000,
        b"\xff",
        b"null",
        b'{"split": "train"}',
        b'{"step": 1}',
        b'{"step": "1", "split": "train"}',
        b'{"step": 1, "split": "train", "loss": "low"}',
        b'{"step": 1, "split": "train", "loss": NaN}',
        b'{"step": 1, "split": "train", "loss": ' + b"9" * 400 + b"}",
    ],
)
def test_a_damaged_line_is_named(line: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "split": "train", "loss": 2.0}\n' + line + b"\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl.*(line 2)? is damaged: .*[Rr]emove"):
        read_json_lines(path)


def test_records_that_lead_to_a_device_are_refused_before_they_are_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="a device, not a regular file"):
        read_json_lines(tmp_path / "metrics.jsonl")


@pytest.mark.slow
def test_tensorboard_shows_the_same_numbers(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, 0, [1, 2])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 9.0), (2, 8.0)]
    assert [event.step for event in events.Scalars("validation/top1")] == [2]


def test_tensorboard_drops_what_is_done_again(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, 0, [1, 2, 3])
    write_steps(tmp_path, 1, [2])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2]


def test_what_was_written_is_there_if_the_run_is_killed(tmp_path: pathlib.Path) -> None:
    writers = Writers(TrackedRun(tmp_path, "small", {}), 0)
    writers.write(1, "train", {"loss": 9.0})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == [9.0]
    assert read_json_lines(tmp_path / "metrics.jsonl") == [{"step": 1, "split": "train", "loss": 9.0}]
    writers.close()


def test_numbers_that_are_not_finite_are_left_out_of_strict_json(tmp_path: pathlib.Path) -> None:
    with Writers(TrackedRun(tmp_path, "small", {}), 0) as writers:
        writers.write(1, "train", {"loss": 1.0, "grad_norm": float("inf"), "top1": float("nan")})
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert records == [{"step": 1, "split": "train", "loss": 1.0}]


def test_the_other_processes_of_a_run_write_nothing(tmp_path: pathlib.Path) -> None:
    with Writers(TrackedRun(tmp_path, "small", {}), 0, active=False) as writers:
        writers.write(1, "train", {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []


def write_until_it_fails(writers: Writers) -> None:
    for step in range(1, 100):
        writers.write(step, "train", {"loss": 1.0})


@pytest.mark.parametrize("kind", ["both", "tensorboard"])
def test_a_full_disk_is_a_clear_error_and_keeps_what_was_written(
    kind: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "tensorboard":
        monkeypatch.setattr(JsonLinesWriter, "write", lambda *_: None)
    writers = Writers(TrackedRun(tmp_path, "small", {}), 0)
    with files_of_at_most(400), pytest.raises(UserError, match=f"cannot be written to {tmp_path}.*free space"):
        write_until_it_fails(writers)
    writers.close()
    if kind == "both":
        steps = [record["step"] for record in read_json_lines(tmp_path / "metrics.jsonl")]
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) > 3


def test_a_workdir_that_cannot_be_written_to_is_a_clear_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=f"cannot be written to {tmp_path}"):
        Writers(TrackedRun(tmp_path, "small", {}), 0)


def test_curves_are_drawn_with_and_without_records(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, 0, [1, 2])
    for source in ("metrics.jsonl", "absent.jsonl"):
        draw_curves(tmp_path / source, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
