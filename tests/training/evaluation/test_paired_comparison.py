"""Two models on the same videos: where they differ, and whether chance explains it."""

import pathlib

import pytest
from planted_evaluation import planted_evaluation

from motion_vit import UserError
from motion_vit.training.evaluation.paired_comparison import (
    compare_predictions,
    predictions_of,
    read_predictions,
    write_comparison,
)
from motion_vit.training.evaluation.predictions_file import write_predictions
from motion_vit.training.evaluation.result import Evaluation

UP, DOWN = [1, 0, 0], [0, 1, 0]


def of_classes(predicted: list[list[int]], labels: list[int] | None = None) -> Evaluation:
    return planted_evaluation(labels or [0] * len(predicted), predicted, ("=up", "down", "left"))


def test_the_p_value_is_that_of_a_coin() -> None:
    # Right where the other is wrong in 9 of 10 differing videos: 2 (1 + 10) / 2^10.
    this = of_classes([*[UP] * 9, DOWN, UP, DOWN])
    other = of_classes([*[DOWN] * 9, UP, UP, DOWN])
    found = compare_predictions(this, predictions_of(other))
    assert (len(found.videos), len(found.differing), found.better) == (12, 10, 9)
    assert found.p_value == pytest.approx(22 / 1024)
    assert compare_predictions(this, predictions_of(this)).p_value == 1
    assert "only this model is right about 9, only the other about 1" in str(found)


def test_the_table_of_predictions_says_as_much_as_the_evaluation(tmp_path: pathlib.Path) -> None:
    result = of_classes([UP, DOWN, [float("nan"), 0, 0]])
    write_predictions(result, tmp_path / "predictions.csv")
    assert read_predictions(tmp_path) == read_predictions(tmp_path / "predictions.csv") == predictions_of(result)
    text = (tmp_path / "predictions.csv").read_text().splitlines()
    assert text[0] == "video,label,prediction,views,decode_seconds,'=up,down,left"
    assert text[1].startswith("0.mp4,'=up,'=up,2,0.25,0.576")
    assert text[3] == "2.mp4,'=up,,2,0.25,,,"


def test_differing_videos_are_written_with_both_classes(tmp_path: pathlib.Path) -> None:
    found = compare_predictions(of_classes([UP, UP]), predictions_of(of_classes([UP, DOWN])))
    write_comparison(found, tmp_path / "compared.csv")
    assert (tmp_path / "compared.csv").read_text().splitlines() == [
        "video,label,prediction,other",
        "1.mp4,'=up,'=up,down",
    ]


def test_videos_that_only_one_has_are_counted() -> None:
    found = compare_predictions(of_classes([UP] * 3), predictions_of(of_classes([UP] * 5)))
    assert (len(found.videos), found.left_out) == (3, 2)
    assert str(found).endswith("; 2 videos that only one of them has left out")


def test_evaluations_of_other_data_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="no video in common"):
        compare_predictions(of_classes([UP]), {"x.mp4": ("up", "up")})
    with pytest.raises(UserError, match="has the label '=up' here and 'down' in the other evaluation"):
        compare_predictions(of_classes([UP]), predictions_of(of_classes([UP], [1])))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.mp4,up\n", "is no table of predictions"),
        ("", "is no table of predictions"),
        ("video,label,prediction,views,decode_seconds,up\na.mp4,up,up\n", "row 2: 3 cells, but 6 were expected"),
    ],
)
def test_other_tables_are_refused(text: str, message: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_predictions(tmp_path)


def test_a_folder_without_predictions_is_refused_with_what_to_give(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="Give the folder of an evaluation"):
        read_predictions(tmp_path)
