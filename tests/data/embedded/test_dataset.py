import collections
import csv
import pathlib
import shutil

import pytest
from full_disk import files_of_at_most

from motion_vit.data.embedded.dataset import render_dataset
from motion_vit.data.embedded.motion_scenes import MOTION_CLASSES
from motion_vit.errors import UserError

SMALL = {"splits": {"train": 20, "validation": 10}, "size": 16, "frames": (3, 6), "seed": 5, "progress": False}


def _files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    }


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "motion"
    return folder, render_dataset(folder, **SMALL, workers=1)


def test_every_split_has_a_list_of_its_videos(rendered):
    folder, lists = rendered
    assert lists == {"train": folder / "train.csv", "validation": folder / "validation.csv"}
    for split, path in lists.items():
        rows = _rows(path)
        assert [list(row) for row in rows] == [["path", "label"]] * SMALL["splits"][split]
        assert all((path.parent / row["path"]).is_file() for row in rows)
        assert {pathlib.Path(row["path"]).suffix for row in rows} == {".mp4", ".webm"}


def test_classes_are_balanced_and_in_no_order(rendered):
    _, lists = rendered
    labels = [row["label"] for row in _rows(lists["train"])]
    assert collections.Counter(labels) == dict.fromkeys(MOTION_CLASSES, 2)
    assert labels != sorted(labels, key=MOTION_CLASSES.index)
    assert labels[:10] != labels[10:]


def test_no_video_is_in_two_places(rendered):
    folder, _ = rendered
    contents = [content for name, content in _files(folder).items() if name.startswith("videos/")]
    assert len(set(contents)) == len(contents) == 30


def test_the_number_of_workers_does_not_change_the_files(rendered, tmp_path):
    folder, _ = rendered
    render_dataset(tmp_path / "motion", **SMALL, workers=2)
    assert _files(tmp_path / "motion") == _files(folder)


def test_a_split_does_not_depend_on_the_others(rendered, tmp_path):
    folder, _ = rendered
    render_dataset(tmp_path / "alone", **{**SMALL, "splits": {"validation": 10}}, workers=1)
    whole = _files(folder)
    alone = {name: content for name, content in _files(tmp_path / "alone").items() if name != "dataset.json"}
    assert alone == {name: content for name, content in whole.items() if "validation" in name}


def test_another_seed_gives_other_videos(rendered, tmp_path):
    folder, _ = rendered
    render_dataset(tmp_path / "other", **{**SMALL, "seed": 6, "splits": {"train": 8}}, workers=1)
    ours, others = _files(folder), _files(tmp_path / "other")
    assert not {content for name, content in ours.items() if name.startswith("videos/")} & set(others.values())


def test_a_finished_folder_is_reused(rendered):
    folder, _ = rendered
    before = {path: path.stat().st_mtime_ns for path in (folder / "videos").rglob("*")}
    render_dataset(folder, **SMALL, workers=1)
    assert {path: path.stat().st_mtime_ns for path in (folder / "videos").rglob("*")} == before


def test_a_half_rendered_folder_is_completed(rendered, tmp_path):
    folder, _ = rendered
    shutil.copytree(folder, tmp_path / "motion")
    for path in [*(tmp_path / "motion/videos/train").iterdir()][:3]:
        path.unlink()
    (tmp_path / "motion/validation.csv").unlink()
    render_dataset(tmp_path / "motion", **SMALL, workers=1)
    assert _files(tmp_path / "motion") == _files(folder)


def test_a_folder_with_other_parameters_is_left_alone(rendered):
    folder, _ = rendered
    before = _files(folder)
    with pytest.raises(UserError, match=r'"seed": 5.*"seed": 9.*choose another folder'):
        render_dataset(folder, **{**SMALL, "seed": 9})
    assert _files(folder) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="not an empty folder"):
        render_dataset(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_damaged_note_of_the_parameters_is_reported(tmp_path):
    (tmp_path / "dataset.json").write_text('{"seed": ')
    with pytest.raises(UserError, match=r"dataset\.json is damaged"):
        render_dataset(tmp_path, **SMALL)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"splits": {}}, "at least one split"),
        ({"splits": {"train": 0}}, "clips of the split 'train' is 0, but must be a whole number from 1"),
        ({"splits": {"train": 10**9}}, "is 1000000000, but must be a whole number from 1 to 1000000"),
        ({"splits": {"../up": 3}}, "letters, digits and underscores"),
        ({"size": 33}, "size is 33"),
        ({"size": 8}, "size is 8"),
        ({"frames": (9, 4)}, r"frames is \(9, 4\)"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_arguments_out_of_range_are_reported(tmp_path, arguments, complaint):
    with pytest.raises(UserError, match=complaint):
        render_dataset(tmp_path / "motion", **{**SMALL, **arguments})
    assert not (tmp_path / "motion").exists()


def test_a_disk_that_fills_up_is_a_sentence_and_the_next_call_completes_the_dataset(tmp_path: pathlib.Path) -> None:
    splits = {"train": 3}
    told = pytest.raises(UserError, match=r"0000\d\.\w+ cannot be written: File too large")
    with files_of_at_most(1000), told:
        render_dataset(tmp_path, splits=splits, size=32, progress=False, workers=1)
    assert not [path for path in (tmp_path / "videos").rglob("*") if path.is_file()]
    render_dataset(tmp_path, splits=splits, size=32, progress=False, workers=1)
    assert len(list((tmp_path / "videos" / "train").iterdir())) == 3
