import dataclasses
import json
import pathlib

import cv2
import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.comparison.conditions import Conditions
from motion_vit.comparison.learning_curves import draw_learning_curves, read_learning_curve
from motion_vit.comparison.plot import draw_comparison
from motion_vit.comparison.run_result import RESULT_FILE, RunResult, read_result
from motion_vit.comparison.table import comparison_table

RESULT = RunResult(
    row="emim",
    seed=0,
    parameters=229_185,
    multiply_adds=26_163_840,
    steps=1000,
    clips_per_second=51.2,
    classes=10,
    videos=600,
    top1=0.8,
    frozen=0.1,
    shuffled=0.2,
    conditions=Conditions("a1", "b2", clips=1, crops=1, averaged=False),
)
RESULTS = [
    RESULT,
    dataclasses.replace(RESULT, row="tsn", top1=0.3, clips_per_second=None),
    dataclasses.replace(RESULT, seed=1, top1=0.9, frozen=0.12, clips_per_second=48.8),
]


def test_a_row_has_the_mean_and_the_spread_of_its_seeds() -> None:
    header, _, emim, tsn, _, caption = comparison_table(RESULTS).splitlines()
    assert header.startswith("| row | parameters | GMACs |")
    assert emim == "| emim | 229,185 | 0.026 | 50 | 85.0 ± 7.1 | 80.0, 90.0 | 11.0 | 20.0 |"
    assert tsn == "| tsn | 229,185 | 0.026 |  | 30.0 | 30.0 | 10.0 | 20.0 |"
    assert caption.startswith("1000 steps, 10 classes (chance 10.0 %), 600 held-out videos, seeds 0, 1;")


def test_the_caption_says_in_what_the_rows_differ() -> None:
    def caption(*results: RunResult) -> str:
        return comparison_table(results).splitlines()[-1]

    longer = dataclasses.replace(RESULT, row="tsn", steps=2000, videos=599)
    assert "differ" not in caption(RESULT, dataclasses.replace(RESULT, row="tsn"))
    assert "1000 or 2000 steps" in caption(RESULT, longer)
    assert "599 or 600 held-out videos" in caption(RESULT, longer)
    assert caption(RESULT, longer).endswith("The rows differ in their steps and videos.")
    assert caption(*RESULTS).endswith("The rows differ in their seeds.")


def test_the_picture_grows_with_the_rows(tmp_path: pathlib.Path) -> None:
    draw_comparison(RESULTS, tmp_path / "two.png")
    draw_comparison([*RESULTS, dataclasses.replace(RESULT, row="tsm")], tmp_path / "three.png")
    two, three = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("two", "three"))
    assert three.shape[0] > two.shape[0]
    assert two.min() < 50 < 250 < two.max()


def test_a_learning_curve_is_read_from_the_log_of_a_run(tmp_path: pathlib.Path) -> None:
    assert read_learning_curve(tmp_path) == []
    records = [
        {"step": 50, "split": "train", "top1": 0.25},
        {"step": 50, "split": "validation", "top1": 0.75},
        {"step": 100, "split": "train", "top1": 0.5},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    assert read_learning_curve(tmp_path) == [(50, 0.25), (100, 0.5)]


def test_learning_curves_have_a_panel_for_each_row(tmp_path: pathlib.Path) -> None:
    ordered = [RESULTS[0], RESULTS[2], RESULTS[1]]
    curves = [[(50, 0.1), (100, 0.9)], [(50, 0.2), (100, 0.6)], []]
    draw_learning_curves(list(zip(ordered, curves, strict=True)), tmp_path / "two.png")
    many = [(dataclasses.replace(RESULT, row=f"row {number}"), curves[0]) for number in range(8)]
    draw_learning_curves(many, tmp_path / "eight.png")
    two, eight = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("two", "eight"))
    assert eight.shape[0] > two.shape[0]
    assert eight.shape[1] > two.shape[1]
    blue = (np.abs(two.astype(int) - [0xB2, 0x72, 0x00]) < 40).all(
        axis=-1
    )  # the line of seed 0, which OpenCV has as BGR
    panel = np.flatnonzero(blue.any(axis=0))
    assert panel.max() < two.shape[1] / 2 + 80  # in the first panel, and in the legend above


def test_a_result_is_read_back(tmp_path: pathlib.Path) -> None:
    assert read_result(tmp_path) is None
    for result in (RESULT, dataclasses.replace(RESULT, clips_per_second=None, top1=1)):
        result.write(tmp_path)
        assert read_result(tmp_path) == result


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{", "", "is damaged: "),
        ('"row": "emim",', "", "is damaged: it has other fields than a result: row"),
        ('"row": "emim"', '"row": 3', "is damaged: row is 3"),
        ('"seed": 0', '"seed": 0.5', "is damaged: seed is 0.5"),
        ('"videos": 600', '"videos": true', "is damaged: videos is True"),
        ('"top1": 0.8', '"top1": null', "is damaged: top1 is None"),
        ('"crops": 1', '"crops": "1"', "is damaged: crops is '1'"),
        ('"averaged": false', '"averaged": 0', "is damaged: averaged is 0"),
    ],
)
def test_a_damaged_result_is_explained(tmp_path: pathlib.Path, old: str, new: str, message: str) -> None:
    RESULT.write(tmp_path)
    text = (tmp_path / RESULT_FILE).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / RESULT_FILE).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=rf"result.json {message}.*Delete it"):
        read_result(tmp_path)


def test_a_result_that_cannot_be_read_or_written_is_explained(tmp_path: pathlib.Path) -> None:
    (tmp_path / RESULT_FILE).mkdir()
    with pytest.raises(UserError, match=r"result.json cannot be read: Is a directory"):
        read_result(tmp_path)
    with pytest.raises(UserError, match=r"result.json cannot be written: Is a directory"):
        RESULT.write(tmp_path)
