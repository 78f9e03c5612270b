"""Transfers: recipes x data sets x sizes x splits, each subset of its own, with a table and a picture."""

import dataclasses
import json
import pathlib
import re

import pytest
from matplotlib.figure import Figure
from small_comparison import row

from motion_vit import UserError
from motion_vit.cli import main
from motion_vit.comparison import transfer_report
from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.run_result import RunResult
from motion_vit.comparison.transfer import transfer
from motion_vit.comparison.transfer_data import find_data
from motion_vit.comparison.transfer_report import TransferCell, draw_transfer, transfer_tables
from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.sources.subset_choice import SubsetSize, parse_size
from motion_vit.data.sources.video_list import read_video_list

CONDITIONS = Conditions("a", "b", 1, 1, averaged=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Thirty training videos of ten classes, and eleven held-out ones."""
    folder = tmp_path_factory.mktemp("data") / "motions"
    render_dataset(folder, splits={"train": 30, "validation": 11}, size=32, frames=(6, 8), workers=1, progress=False)
    return folder


@pytest.mark.slow
def test_a_transfer_trains_on_subsets_reports_them_and_goes_on_where_it_was(
    data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets, sizes = find_data([str(data)]), [parse_size("1"), parse_size("all")]
    assert transfer({"small": row()}, sets, tmp_path, sizes=sizes, splits=2)
    records = json.loads((tmp_path / "transfer.json").read_text(encoding="utf-8"))
    assert [(each["size"], each["split"], each["training_clips"], each["steps"]) for each in records] == [
        ("1", 0, 10, 1),
        ("1", 1, 10, 1),
        ("all", 0, 30, 3),
    ]
    assert all(0 <= each["mean_class"] <= 1 for each in records)
    lists = sorted((tmp_path / "subsets" / "motions").glob("*.csv"))
    first, second = (read_video_list(path).paths for path in lists)
    assert len(first) == len(second) == 10
    assert first != second
    printed = capsys.readouterr().out
    assert (tmp_path / "transfer.md").read_text(encoding="utf-8") in printed
    assert "[1/3] small, 1 shot of motions, seed 0: top-1 " in printed
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")
    log = (tmp_path / "runs" / "motions" / "all" / "small" / "seed0" / "log.txt").read_text(encoding="utf-8")
    assert "warning: in validation, 11 videos say little: one more right or wrong moves top-1 by 9.1 percent" in log
    # Nothing to do; the report is of what is asked for.
    assert transfer({"small": row()}, sets, tmp_path, sizes=sizes[:1], splits=2)
    assert not re.search(r"^\[", capsys.readouterr().out, re.MULTILINE)


def test_what_cannot_be_trained_is_told_before_anything_is(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    sets, workdir = find_data([str(data)]), tmp_path / "work"
    with pytest.raises(UserError, match=r"10 classes of .*train.csv have fewer than 4 clips"):
        transfer({"small": row()}, sets, workdir, sizes=[parse_size("2"), parse_size("4")])
    large = row()
    large.batch_size = 16
    with pytest.raises(UserError, match=r"batch_size is 16, but .*1shots-seed0.csv has only 10 videos"):
        transfer({"small": row(), "large": large}, sets, workdir, sizes=[parse_size("1")])
    with pytest.raises(UserError, match=r"the size 1 is given twice"):
        transfer({"small": row()}, sets, workdir, sizes=[parse_size("1")] * 2)
    with pytest.raises(UserError, match=r"at least one recipe, one data set and one size"):
        transfer({"small": row()}, [], workdir, sizes=[parse_size("1")])
    assert not (workdir / "runs").exists()


def test_data_sets_are_found_by_their_folders_and_told_apart_by_name(
    data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = find_data([str(data)])
    assert (found.name, found.train, found.validation) == (
        "motions",
        str(data / "train.csv"),
        str(data / "validation.csv"),
    )
    assert find_data(["tfds:ucf101"])[0].name == "ucf101"
    with pytest.raises(UserError, match=r"two data sets are called 'motions'"):
        find_data([str(data), f"{data}/"])
    with pytest.raises(UserError, match=r"names one split; expected a prepared folder"):
        find_data(["tfds:ucf101:train"])
    with pytest.raises(UserError, match=r"is no data set to transfer to; expected a prepared folder"):
        find_data([str(tmp_path)])
    command = ["transfer", "--config", "my_videos", "--data", str(data), "--workdir", str(tmp_path / "work")]
    assert main([*command, "--shots", "few"]) == 2
    assert "'few' is no size of a subset" in capsys.readouterr().err
    assert main([*command, "--config.data.train=x.csv"]) == 2
    assert "--data names the videos" in capsys.readouterr().err


def cell(
    name: str, size: SubsetSize, split: int, top1: float, mean_class: float | None
) -> tuple[TransferCell, RunResult]:
    result = RunResult(name, split, 1, 1, 1, 1.0, 4, 50, top1, 0.25, 0.25, CONDITIONS, mean_class)
    run = ComparisonRun(name, split, row(), pathlib.Path("x"), CONDITIONS)
    return TransferCell("gym", size, split, 8 if size.shots else 400, run), result


def test_the_table_has_means_and_deviations_of_splits() -> None:
    few, whole = SubsetSize(shots=2), SubsetSize(share=1.0)
    finished = [
        *(cell("a", few, split, top1, top1 - 0.1) for split, top1 in enumerate((0.4, 0.5, 0.6))),
        cell("a", whole, 0, 0.8, None),
        cell("b|c", few, 0, 0.3, 0.2),
    ]
    lines = transfer_tables(finished).splitlines()
    assert lines[0] == "## gym"
    assert lines[2] == "| row | accuracy, % | 2 shots | all |"
    assert lines[4:7] == [
        "| a | top-1 | 50.0 ± 10.0 | 80.0 |",
        "| a | mean of classes | 40.0 ± 10.0 |  |",
        "| b\\|c | top-1 | 30.0 |  |",
    ]
    assert "4 classes (chance 25.0 %), 50 held-out videos; training clips: 2 shots: 8, all: 400." in lines[-1]
    assert "(n - 1) over random splits (2 shots: 3)." in lines[-1]


def test_any_number_of_rows_and_names_can_be_drawn(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(transfer_report, "write_figure", lambda figure, _: drawn.append(figure))
    whole = [cell("row", SubsetSize(shots=2), 0, 0.5, 0.5), cell("row", SubsetSize(share=1.0), 0, 0.6, 0.5)]
    draw_transfer(whole, tmp_path / "ticks.png")
    (axes,) = drawn[0].axes
    # Clips of each of four classes, where runs are.
    assert [tick.get_text() for tick in axes.get_xticklabels(which="both")] == ["2", "100"]
    monkeypatch.undo()
    finished = [cell(f"$row_{number}$", SubsetSize(shots=2), 0, 0.5, 0.5) for number in range(9)]
    finished += [(dataclasses.replace(each, data="other"), result) for each, result in finished[:1]]
    draw_transfer(finished, tmp_path / "transfer.png")
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")
