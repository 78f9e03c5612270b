import dataclasses
import pathlib

import cv2
import pytest

from motion_vit import UserError
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


def test_the_picture_grows_with_the_rows(tmp_path: pathlib.Path) -> None:
    draw_comparison(RESULTS, tmp_path / "two.png")
    draw_comparison([*RESULTS, dataclasses.replace(RESULT, row="tsm")], tmp_path / "three.png")
    two, three = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("two", "three"))
    assert three.shape[0] > two.shape[0]
    assert two.min() < 50 < 250 < two.max()


def test_a_result_is_read_back_and_a_damaged_one_explained(tmp_path: pathlib.Path) -> None:
    assert read_result(tmp_path) is None
    RESULT.write(tmp_path)
    assert read_result(tmp_path) == RESULT
    for text in ("{", "[]", '{"row": "emim"}'):
        (tmp_path / RESULT_FILE).write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"result.json is damaged: .*Delete it"):
            read_result(tmp_path)
