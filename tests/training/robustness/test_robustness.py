"""The report of robustness, of results that were made up and of a small run."""

import csv
import json
import pathlib

import pytest
from planted_evaluation import planted_evaluation

from motion_vit import UserError
from motion_vit.training.adaptation.options import AdaptationOptions
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.robustness.report import robustness_table, write_robustness
from motion_vit.training.robustness.robustness import CorruptedResult, Robustness, evaluate_robustness


def of_four(right: int) -> Evaluation:
    """Four videos, of which so many are right."""
    return planted_evaluation([0] * 4, [[1, 0, 0]] * right + [[0, 1, 0]] * (4 - right))


def robustness(*, adapts: bool) -> Robustness:
    def result(corruption: str, severity: int, plain: int, adapted: int) -> CorruptedResult:
        return CorruptedResult(corruption, severity, of_four(plain), of_four(adapted) if adapts else None)

    return Robustness(
        result("", 0, 4, 4),
        (result("rain", 1, 3, 4), result("rain", 5, 1, 3), result("contrast", 1, 2, 2), result("contrast", 5, 0, 2)),
        adaptation=AdaptationOptions() if adapts else None,
    )


def test_means_are_over_corruptions() -> None:
    found = robustness(adapts=True)
    assert found.mean_top1(1) == (0.75 + 0.5) / 2
    assert found.mean_top1(5, adapted=True) == (0.75 + 0.5) / 2
    assert found.mean_top1() == (0.75 + 0.25 + 0.5 + 0) / 4
    said = found.to_dict()
    assert said["mean"] == {"all": 0.375, "1": 0.625, "5": 0.125}
    assert said["mean_adapted"]["all"] == (1 + 0.75 + 0.5 + 0.5) / 4
    assert "mean_adapted" not in robustness(adapts=False).to_dict()


def test_the_table_has_a_line_for_each_corruption() -> None:
    lines = robustness_table(robustness(adapts=False)).splitlines()
    assert [line.split() for line in lines] == [
        ["as", "they", "are", "100.0", "%"],
        ["corruption", "severity", "1", "severity", "5"],
        ["rain", "75.0", "%", "25.0", "%"],
        ["contrast", "50.0", "%", "0.0", "%"],
        ["mean", "62.5", "%", "12.5", "%"],
    ]
    assert "25.0 % -> 75.0 %" in robustness_table(robustness(adapts=True))


@pytest.mark.parametrize("adapts", [False, True])
def test_the_report_is_json_a_table_and_a_picture(adapts: bool, tmp_path: pathlib.Path) -> None:
    files = write_robustness(robustness(adapts=adapts), tmp_path / "report")
    assert json.loads(files["robustness"].read_text())["clean"]["top1"] == 1
    with files["robustness table"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["corruption"], row["severity"], float(row["top1"])) for row in rows[:3]] == [
        ("none", "0", 1.0),
        ("rain", "1", 0.75),
        ("rain", "5", 0.25),
    ]
    assert ("adapted_top1" in rows[0]) == adapts
    assert files["robustness picture"].read_bytes().startswith(b"\x89PNG")


def test_a_small_run_is_measured_clean_and_corrupted(
    finished_run: pathlib.Path, lists: dict[str, pathlib.Path]
) -> None:
    told: list[CorruptedResult] = []
    found = evaluate_robustness(finished_run, lists["validation"], ["contrast"], [5, 1], told=told.append)
    assert told == [found.clean, *found.corrupted]
    assert found.severities == (1, 5)
    losses = [result.plain.loss for result in told]
    assert len(set(losses)) == 3
    with pytest.raises(UserError, match="no corruption or no severity is given"):
        evaluate_robustness(finished_run, lists["validation"], [], [5])
