"""FineGym: elements and their times in long videos, in a miniature of the published files."""

import json
import pathlib
from typing import Any

import pytest

from motion_vit.data.datasets import finegym
from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.errors import UserError

_TIMES = {
    "A0xAXXysHUo": {
        "E_002184_002237": {
            "event": 1,
            "timestamps": [[2184.0, 2237.5]],
            "segments": {
                "A_0035_0036": {"stages": 1, "timestamps": [[35.25, 36.7]]},
                "A_0040_0045": {"stages": 3, "timestamps": [[40.0, 41.1], [41.1, 43.0], [43.0, 45.01]]},
            },
        },
        "E_003000_003010": {"event": 4, "timestamps": [[3000, 3010]], "segments": None},
    },
    "rrrgsW--AE8": {
        "E_004616_004689": {
            "event": 2,
            "timestamps": [[4616.3, 4689.1]],
            "segments": {"A_0070_0073": {"stages": 1, "timestamps": [[70.11, 72.8]]}},
        }
    },
}
_CATEGORIES = (
    "Clabel:   0; set:  1; Glabel:   1; (VT) round-off, flic-flac with 0.5 turn on\n"
    "Clabel:   1; set: 33; Glabel: 180; (BB) salto backward tucked\n"
    "Clabel:   2; set: 35; Glabel: 216; (BB) salto backward tucked   \n"
)
_LISTS = {
    "{}_train_element_v1.1.txt": (
        "A0xAXXysHUo_E_002184_002237_A_0035_0036 0\nA0xAXXysHUo_E_002184_002237_A_0040_0045 2\n"
    ),
    "{}_val_element.txt": "rrrgsW--AE8_E_004616_004689_A_0070_0073 1\n",
}


def _download(source: pathlib.Path, labels: str = "annotations", subset: str = "gym99") -> pathlib.Path:
    (source / labels).mkdir(parents=True, exist_ok=True)
    for name, text in _LISTS.items():
        (source / labels / name.format(subset)).write_text(text)
    (source / labels / f"{subset}_categories.txt").write_text(_CATEGORIES)
    (source / labels / "finegym_annotation_info_v1.1.json").write_text(json.dumps(_TIMES))
    (source / "videos").mkdir(exist_ok=True)
    (source / "videos/A0xAXXysHUo.webm").touch()
    return source


@pytest.mark.parametrize("labels", [".", "annotations"])
def test_an_element_is_cut_from_its_first_to_its_last_stage_counted_from_its_event(tmp_path, labels):
    dataset = finegym.read(_download(tmp_path, labels))
    assert dataset.label_names == (
        "(VT) round-off, flic-flac with 0.5 turn on",
        "(BB) salto backward tucked",
        "(BB) salto backward tucked [2]",
    )
    there, missing = str(tmp_path / "videos/A0xAXXysHUo.webm"), str(tmp_path / "videos/rrrgsW--AE8.mp4")
    assert dataset.splits == {
        "train": (
            SourceClip(
                "A0xAXXysHUo_E_002184_002237_A_0035_0036", there, dataset.label_names[0], 2184 + 35.25, 2184 + 36.7
            ),
            SourceClip(
                "A0xAXXysHUo_E_002184_002237_A_0040_0045", there, dataset.label_names[2], 2184 + 40.0, 2184 + 45.01
            ),
        ),
        "validation": (
            SourceClip(
                "rrrgsW--AE8_E_004616_004689_A_0070_0073",
                missing,
                dataset.label_names[1],
                4616.3 + 70.11,
                4616.3 + 72.8,
            ),
        ),
    }
    assert dataset.mismatches == (
        "classes: 3, the official list has 99",
        "train: 2 clips, the official list has 26,320",
        "validation: 1 clip, the official list has 8,521",
    )


def test_the_subset_is_chosen_by_name(tmp_path):
    dataset = finegym.read(_download(tmp_path, subset="gym288"), subset="gym288")
    assert "train: 2 clips, the official list has 28,739" in dataset.mismatches
    with pytest.raises(UserError, match=r"no file gym99_categories\.txt.*docs/datasets/finegym\.md"):
        finegym.read(tmp_path)
    with pytest.raises(UserError, match="subsets gym99 and gym288; given 'gym530'"):
        finegym.read(tmp_path, subset="gym530")


def test_version_1_0_as_mmaction2_names_its_files_is_compared_with_its_own_counts(tmp_path):
    folder = _download(tmp_path) / "annotations"
    (folder / "gym99_train_element_v1.1.txt").rename(folder / "gym99_train_org.txt")
    (folder / "gym99_val_element.txt").rename(folder / "gym99_val_org.txt")
    (folder / "finegym_annotation_info_v1.1.json").rename(folder / "annotation.json")
    assert "train: 2 clips, the official list has 20,484" in finegym.read(tmp_path).mismatches


def test_an_element_without_times_is_left_out_and_counted(tmp_path):
    path = _download(tmp_path) / "annotations/gym99_train_element_v1.1.txt"
    path.write_text(path.read_text() + "A0xAXXysHUo_E_003000_003010_A_0001_0002 1\n")
    dataset = finegym.read(tmp_path)
    assert len(dataset.splits["train"]) == 2
    assert dataset.mismatches[0] == "train: left out 1 elements whose times the annotation file does not say"
    path.write_text("A0xAXXysHUo_E_003000_003010_A_0001_0002 1\n")
    with pytest.raises(UserError, match=r"says the times of none of its elements"):
        finegym.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gym99_categories.txt", "Clabel: 1; set: 1; Glabel: 1; (VT) x\n", r"line 1: expected `Clabel: 0; set"),
        ("gym99_categories.txt", "round-off\n", r"categories\.txt, line 1: expected `Clabel: 0"),
        ("gym99_val_element.txt", "rrrgsW--AE8_E_004616_004689 1\n", r"element\.txt, line 1: expected <YouTube id>_E_"),
        (
            "gym99_val_element.txt",
            "rrrgsW--AE8_E_004616_004689_A_0070_0073 3\n",
            r"class number from 0 to 2, found '3'",
        ),
        ("gym99_val_element.txt", "rrrgsW--AE8_E_004616_004689_A_0070_0073\n", r"expected element label, found"),
        ("gym99_val_element.txt", "rrrgsW--AE8_E_004616_004689_A_0070_0073 1\n" * 2, r"line 2: the clip .* before"),
    ],
)
def test_malformed_lists_are_refused_with_their_line(tmp_path, name, text, message):
    (_download(tmp_path) / "annotations" / name).write_text(text)
    with pytest.raises(UserError, match=message):
        finegym.read(tmp_path)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], r"v1\.1\.json: expected its top to be an object, found \[\]"),
        ({"rrrgsW--AE8": 3}, r"expected the video rrrgsW--AE8 to be an object, found 3"),
        ({"rrrgsW--AE8": {"E_004616_004689": []}}, r"expected the event rrrgsW--AE8_E_004616_004689 to be an object"),
    ],
)
def test_a_malformed_annotation_file_is_refused(tmp_path, times, message):
    path = _download(tmp_path) / "annotations/finegym_annotation_info_v1.1.json"
    path.write_text(json.dumps({**_TIMES, **times} if isinstance(times, dict) else times))
    with pytest.raises(UserError, match=message):
        finegym.read(tmp_path)


@pytest.mark.parametrize("timestamps", [None, [], [[1]], [["a", "b"]], [[3, 2]], [[-1, 2]], 7, [[0, float("nan")]]])
def test_malformed_times_are_refused_with_their_element(tmp_path, timestamps: Any):
    times = json.loads(json.dumps(_TIMES))
    times["rrrgsW--AE8"]["E_004616_004689"]["segments"]["A_0070_0073"]["timestamps"] = timestamps
    path = _download(tmp_path) / "annotations/finegym_annotation_info_v1.1.json"
    path.write_text(json.dumps(times))
    with pytest.raises(UserError, match=r"element rrrgsW--AE8_E_004616_004689_A_0070_0073: expected timestamps"):
        finegym.read(tmp_path)


def test_a_folder_is_recognised_by_its_own_names_only(tmp_path):
    assert finegym.looks_like(_download(tmp_path / "one"))
    (tmp_path / "other/videos").mkdir(parents=True)
    (tmp_path / "other/annotations").mkdir()
    (tmp_path / "other/annotations/annotation.json").touch()
    assert not finegym.looks_like(tmp_path / "other")
