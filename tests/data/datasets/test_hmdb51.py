"""HMDB51: the marks of its three divisions, in a miniature of the published files."""

import pathlib

import pytest

from motion_vit.data.datasets import hmdb51
from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.errors import UserError

_SPLITS = "testTrainMulti_7030_splits"
_FILES = {
    "brush_hair_test_split1.txt": (
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \n"
        "Blonde_being_brushed_brush_hair_f_nm_np2_ri_med_0.avi 2 \n"
        "atheistinfiltrator_brush_hair_h_cm_np1_le_goo_0.avi 0 \n"
    ),
    "cartwheel_test_split1.txt": "(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0.avi 2 \nTwo words #1_0.avi 1 \n",
    "brush_hair_test_split2.txt": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 2 \n",
    "cartwheel_test_split2.txt": "Two words #1_0.avi 1 \n",
}


def _download(
    source: pathlib.Path, labels: str = _SPLITS, videos: str = "hmdb51_org", ending: str = ".avi"
) -> pathlib.Path:
    (source / labels).mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (source / labels / name).write_text(text)
    for label in ("brush_hair", "cartwheel"):
        (source / videos / label).mkdir(parents=True)
    (source / videos / f"cartwheel/Two words #1_0{ending}").touch()
    return source


@pytest.mark.parametrize(
    ("labels", "videos", "ending"),
    [
        (_SPLITS, "hmdb51_org", ".avi"),
        (f"{_SPLITS}/{_SPLITS}", ".", ".avi"),
        ("annotations", "videos", ".mp4"),
    ],
)
def test_marks_1_and_2_are_training_and_test_and_0_is_left_out(tmp_path, labels, videos, ending):
    dataset = hmdb51.read(_download(tmp_path, labels, videos, ending))
    assert dataset.label_names == ("brush_hair", "cartwheel")

    def clip(label: str, stem: str) -> SourceClip:
        return SourceClip(f"{label}/{stem}", str(tmp_path / videos / label / (stem + ending)), label)

    assert dataset.splits == {
        "train": (
            clip("brush_hair", "April_09_brush_hair_u_nm_np1_ba_goo_0"),
            clip("cartwheel", "Two words #1_0"),
        ),
        "validation": (
            clip("brush_hair", "Blonde_being_brushed_brush_hair_f_nm_np2_ri_med_0"),
            clip("cartwheel", "(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0"),
        ),
    }
    assert dataset.mismatches == (
        "classes: 2, the official list has 51",
        "train: 2 clips, the official list has 3,570",
        "validation: 2 clips, the official list has 1,530",
    )


def test_the_division_is_chosen_by_its_number(tmp_path):
    dataset = hmdb51.read(_download(tmp_path), split_number=2)
    assert [clip.label for clip in dataset.splits["train"]] == ["cartwheel"]
    with pytest.raises(UserError, match=r"no files testTrainMulti_7030_splits/<class>_test_split3\.txt"):
        hmdb51.read(tmp_path, split_number=3)
    with pytest.raises(UserError, match="splits 1, 2 and 3; given 4"):
        hmdb51.read(tmp_path, split_number=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.avi 3\n", r"split1\.txt, line 1: expected <name>\.avi and 0, 1 or 2, found 'a\.avi 3'"),
        ("a.mp4 1\n", r"expected <name>\.avi"),
        ("../a.avi 1\n", r"expected <name>\.avi"),
        ("a.avi 1\na.avi 1\n", r"line 2: the clip 'cartwheel/a' was named before"),
        ("", r"is empty"),
    ],
)
def test_malformed_files_are_refused_with_their_line(tmp_path, text, message):
    (_download(tmp_path) / _SPLITS / "cartwheel_test_split1.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        hmdb51.read(tmp_path)


def test_a_folder_is_recognised_by_its_own_names_only(tmp_path):
    assert hmdb51.looks_like(_download(tmp_path / "one"))
    assert hmdb51.looks_like(_download(tmp_path / "two", "annotations", "videos"))
    (tmp_path / "other/videos").mkdir(parents=True)
    assert not hmdb51.looks_like(tmp_path / "other")
