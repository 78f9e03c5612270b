import pathlib

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from motion_vit.training.curves import draw_curves
from motion_vit.training.writers import Writers, read_json_lines


def write_steps(folder: pathlib.Path, from_step: int, steps: list[int]) -> None:
    with Writers(folder, from_step) as writers:
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


def test_tensorboard_shows_the_same_numbers(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, 0, [1, 2])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 9.0), (2, 8.0)]
    assert [event.step for event in events.Scalars("validation/top1")] == [2]


def test_curves_are_drawn_with_and_without_records(tmp_path: pathlib.Path) -> None:
    write_steps(tmp_path, 0, [1, 2])
    for source in ("metrics.jsonl", "absent.jsonl"):
        draw_curves(tmp_path / source, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
