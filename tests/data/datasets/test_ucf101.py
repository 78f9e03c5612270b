"""UCF101: the three official divisions, in a miniature of the published files."""

import pathlib

import pytest

from motion_vit.data.datasets import ucf101
from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.errors import UserError

_FILES = {
    "classInd.txt": "1 ApplyEyeMakeup\r\n2 Archery\r\n3 HandstandPushups\r\n",
    "trainlist01.txt": (
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\nHandstandPushups/v_HandStandPushups_g08_c02.avi 3\n"
    ),
    "testlist01.txt": "Archery/v_Archery_g01_c01.avi\n",
    "trainlist02.txt": "Archery/v_Archery_g01_c01.avi 2\n",
    "testlist02.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi\n",
}


def _download(
    source: pathlib.Path, labels: str = "ucfTrainTestlist", videos: str = "UCF-101", ending: str = ".avi"
) -> pathlib.Path:
    (source / labels).mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (source / labels / name).write_text(text)
    for clip in ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01", "Archery/v_Archery_g01_c01"):
        path = source / videos / (clip + ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return source


@pytest.mark.parametrize(
    ("labels", "videos", "ending"),
    [("ucfTrainTestlist", "UCF-101", ".avi"), ("annotations", "videos", ".mp4"), ("ucfTrainTestlist", ".", ".avi")],
)
def test_the_lists_of_division_1_are_read_in_the_layouts_of_real_downloads(tmp_path, labels, videos, ending):
    dataset = ucf101.read(_download(tmp_path, labels, videos, ending))
    folder = tmp_path / videos
    assert dataset.label_names == ("ApplyEyeMakeup", "Archery", "HandstandPushups")
    assert dataset.splits == {
        "train": (
            SourceClip(
                "v_ApplyEyeMakeup_g08_c01",
                str(folder / f"ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01{ending}"),
                "ApplyEyeMakeup",
            ),
            SourceClip(
                "v_HandStandPushups_g08_c02",
                str(folder / f"HandstandPushups/v_HandStandPushups_g08_c02{ending}"),
                "HandstandPushups",
            ),
        ),
        "validation": (SourceClip("v_Archery_g01_c01", str(folder / f"Archery/v_Archery_g01_c01{ending}"), "Archery"),),
    }
    assert dataset.mismatches == (
        "classes: 3, the official list has 101",
        "train: 2 clips, the official list has 9,537",
        "validation: 1 clip, the official list has 3,783",
    )


def test_the_division_is_chosen_by_its_number(tmp_path):
    dataset = ucf101.read(_download(tmp_path), split_number=2)
    assert [clip.label for clip in dataset.splits["train"]] == ["Archery"]
    assert "train: 1 clip, the official list has 9,586" in dataset.mismatches


@pytest.mark.parametrize("number", [0, 4])
def test_there_are_three_divisions(tmp_path, number):
    with pytest.raises(UserError, match=f"splits 1, 2 and 3; given {number}"):
        ucf101.read(tmp_path, split_number=number)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("classInd.txt", "0 ApplyEyeMakeup\n", r"classInd\.txt, line 1: expected 1 and the name of a new class, found"),
        ("classInd.txt", "1 Archery\n2 Archery\n", r"line 2: expected 2 and the name of a new class"),
        ("trainlist01.txt", "Archery/v_Archery_g01_c01.avi\n", r"trainlist01\.txt, line 1: expected path class number"),
        ("trainlist01.txt", "v_Archery_g01_c01.avi 2\n", r"line 1: expected Class/v_Class_g01_c01\.avi, found"),
        (
            "trainlist01.txt",
            "Archery/v_Archery_g01_c01.avi 3\n",
            r"Archery has the number 2 in classInd\.txt, found '3'",
        ),
        ("trainlist01.txt", "Archer/v_Archery_g01_c01.avi 2\n", r"unknown label 'Archer'; did you mean Archery"),
        ("testlist01.txt", "Archery/v_A_g01_c01.avi\n" * 2, r"line 2: the clip 'v_A_g01_c01' was named before"),
        ("testlist01.txt", "", r"testlist01\.txt is empty"),
    ],
)
def test_malformed_lists_are_refused_with_their_line(tmp_path, name, text, message):
    (_download(tmp_path) / "ucfTrainTestlist" / name).write_text(text)
    with pytest.raises(UserError, match=message):
        ucf101.read(tmp_path)


def test_what_is_missing_is_named_with_where_to_get_it(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        ucf101.read(tmp_path / "gone")
    (_download(tmp_path) / "ucfTrainTestlist/testlist01.txt").unlink()
    with pytest.raises(UserError, match=r"no file testlist01\.txt.*docs/datasets/ucf101\.md"):
        ucf101.read(tmp_path)


def test_a_folder_is_recognised_by_its_own_names_only(tmp_path):
    assert ucf101.looks_like(_download(tmp_path / "one"))
    assert ucf101.looks_like(_download(tmp_path / "two", "annotations", "videos"))
    (tmp_path / "other/videos").mkdir(parents=True)
    assert not ucf101.looks_like(tmp_path / "other")
