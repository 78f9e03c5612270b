import pathlib

import pytest

from motion_vit.data.datasets import something_something_v1
from motion_vit.data.datasets.annotation_files import AnnotationError
from motion_vit.data.datasets.source_dataset import SourceClip

_CLASSES = ["Holding something", "Closing something", "Putting something, something and something on the table"]
_TRAIN = ["100218;Closing something", f"24413;{_CLASSES[2]}", "7;Holding something"]
_VALIDATION = ["85;Holding something"]


def _frame_folders(source: pathlib.Path, name: str = "20bn-something-something-v1") -> None:
    for clip in ("100218", "24413", "7", "85"):
        (source / name / clip).mkdir(parents=True)
        (source / name / clip / "00001.jpg").touch()


def _official(source: pathlib.Path, folder: str = "") -> pathlib.Path:
    _frame_folders(source)
    (source / folder).mkdir(exist_ok=True)
    stem = source / folder / "something-something-v1"
    pathlib.Path(f"{stem}-labels.csv").write_text("\n".join(_CLASSES) + "\n")
    pathlib.Path(f"{stem}-train.csv").write_text("\n".join(_TRAIN) + "\n")
    pathlib.Path(f"{stem}-validation.csv").write_text("\n".join(_VALIDATION) + "\n")
    pathlib.Path(f"{stem}-test.csv").write_text("90\n91\n")
    return source


def _author_lists(source: pathlib.Path, train: str, validation: str) -> pathlib.Path:
    _frame_folders(source)
    (source / "category.txt").write_text("\n".join(sorted(_CLASSES)))
    (source / train).write_text("something/v1/img/100218 42 0\nsomething/v1/img/24413 57 2\nsomething/v1/img/7 53 1\n")
    (source / validation).write_text("85 46 1\n")
    return source


@pytest.mark.parametrize("folder", ["", "labels", "annotations"])
def test_the_official_label_files_give_classes_clips_and_frame_folders_in_their_order(tmp_path, folder):
    dataset = something_something_v1.read(_official(tmp_path, folder))
    frames = tmp_path / "20bn-something-something-v1"
    assert dataset.name == "something_something_v1"
    assert dataset.label_names == tuple(_CLASSES)
    assert dataset.splits == {
        "train": (
            SourceClip("100218", str(frames / "100218"), "Closing something"),
            SourceClip("24413", str(frames / "24413"), _CLASSES[2]),
            SourceClip("7", str(frames / "7"), "Holding something"),
        ),
        "validation": (SourceClip("85", str(frames / "85"), "Holding something"),),
    }


def test_the_official_counts_are_compared(tmp_path):
    assert something_something_v1.read(_official(tmp_path)).mismatches == (
        "classes: 3, the official list has 174",
        "train: 3 clips, the official list has 86,017",
        "validation: 1 clip, the official list has 11,522",
    )


@pytest.mark.parametrize(
    "names",
    [
        ("train_videofolder.txt", "val_videofolder.txt"),
        ("somesomev1_rgb_train_split.txt", "somesomev1_rgb_validation_split.txt"),
    ],
)
def test_the_lists_of_tsm_and_uniformer_give_the_same_clips_with_the_classes_of_their_category_file(tmp_path, names):
    official = something_something_v1.read(_official(tmp_path / "official"))
    authors = something_something_v1.read(_author_lists(tmp_path / "authors", *names))
    assert authors.label_names == tuple(sorted(_CLASSES))
    for split, clips in authors.splits.items():
        assert [(clip.id, clip.label) for clip in clips] == [(clip.id, clip.label) for clip in official.splits[split]]
    assert authors.splits["train"][0].path == str(tmp_path / "authors/20bn-something-something-v1/100218")


def test_a_list_with_a_class_number_beyond_the_categories_is_refused(tmp_path):
    source = _author_lists(tmp_path, "train_videofolder.txt", "val_videofolder.txt")
    (source / "val_videofolder.txt").write_text("85 46 1\n86 40 3\n")
    with pytest.raises(AnnotationError, match=r"val_videofolder\.txt, line 2: .* class number from 0 to 2, found '3'"):
        something_something_v1.read(source)


def test_one_list_of_two_is_refused(tmp_path):
    source = _author_lists(tmp_path, "train_videofolder.txt", "val_videofolder.txt")
    (source / "val_videofolder.txt").unlink()
    with pytest.raises(AnnotationError, match=r"has no file val_videofolder\.txt or somesomev1_rgb_validation_split"):
        something_something_v1.read(source)


def test_a_missing_split_names_the_file(tmp_path):
    source = _official(tmp_path)
    (source / "something-something-v1-validation.csv").unlink()
    with pytest.raises(
        AnnotationError, match=r"has no file something-something-v1-validation\.csv or .*where to get it"
    ):
        something_something_v1.read(source)


def test_a_folder_without_label_files_says_what_was_expected(tmp_path):
    _frame_folders(tmp_path)
    with pytest.raises(AnnotationError, match=r"no label files: expected something-something-v1-labels\.csv"):
        something_something_v1.read(tmp_path)


def test_missing_frames_say_how_to_unpack_them(tmp_path):
    source = _official(tmp_path)
    (source / "20bn-something-something-v1").rename(source / "elsewhere")
    with pytest.raises(AnnotationError, match=r"no folder 20bn-something-something-v1 .*tar zx"):
        something_something_v1.read(source)


def test_a_label_that_is_no_class_is_refused_with_line_and_nearest_class(tmp_path):
    source = _official(tmp_path)
    (source / "something-something-v1-train.csv").write_text("1;Holding something\n2;Closing somthing\n")
    with pytest.raises(AnnotationError, match=r"train\.csv, line 2: .*did you mean Closing something"):
        something_something_v1.read(source)


def test_a_folder_is_recognised_by_its_own_names_only(tmp_path):
    assert something_something_v1.looks_like(_official(tmp_path / "v1"))
    (tmp_path / "other" / "20bn-something-something-v2").mkdir(parents=True)
    assert not something_something_v1.looks_like(tmp_path / "other")
