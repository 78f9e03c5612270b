import json
import pathlib

import pytest

from motion_vit.data.datasets import something_something_v2
from motion_vit.data.datasets.annotation_files import AnnotationError
from motion_vit.data.datasets.source_dataset import SourceClip

_LABELS = {"Stacking number of something": "2", "Approaching something with your camera": "0", "Holding something": "1"}
_TRAIN = [
    {
        "id": "78687",
        "label": "holding potato",
        "template": "Holding [something]",
        "placeholders": ["potato"],
    },
    {
        "id": "42326",
        "label": "stacking three coins",
        "template": "Stacking [number of] [something]",
        "placeholders": ["three", "coins"],
    },
]
_VALIDATION = [{"id": "74225", "label": "approaching a cup", "template": "Approaching [something] with your camera"}]


def _download(source: pathlib.Path, names: str = "something-something-v2-{}.json") -> pathlib.Path:
    (source / "20bn-something-something-v2").mkdir(parents=True)
    for clip in ("78687", "42326", "74225"):
        (source / "20bn-something-something-v2" / f"{clip}.webm").touch()
    for part, data in {"labels": _LABELS, "train": _TRAIN, "validation": _VALIDATION, "test": [{"id": "1"}]}.items():
        path = source / names.format(part)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data))
    return source


@pytest.mark.parametrize("names", ["something-something-v2-{}.json", "labels/{}.json"])
def test_templates_are_matched_to_the_numbered_classes_without_their_brackets(tmp_path, names):
    dataset = something_something_v2.read(_download(tmp_path, names))
    videos = tmp_path / "20bn-something-something-v2"
    assert dataset.label_names == (
        "Approaching something with your camera",
        "Holding something",
        "Stacking number of something",
    )
    assert dataset.splits == {
        "train": (
            SourceClip("78687", str(videos / "78687.webm"), "Holding something"),
            SourceClip("42326", str(videos / "42326.webm"), "Stacking number of something"),
        ),
        "validation": (SourceClip("74225", str(videos / "74225.webm"), "Approaching something with your camera"),),
    }


def test_the_official_counts_are_compared(tmp_path):
    assert something_something_v2.read(_download(tmp_path)).mismatches == (
        "classes: 3, the official list has 174",
        "train: 2 clips, the official list has 168,913",
        "validation: 1 clip, the official list has 24,777",
    )


def test_videos_that_were_converted_are_found_by_their_ending(tmp_path):
    source = _download(tmp_path)
    for video in (source / "20bn-something-something-v2").iterdir():
        video.rename(video.with_suffix(".mp4"))
    dataset = something_something_v2.read(source)
    assert all(pathlib.Path(clip.path).is_file() for clips in dataset.splits.values() for clip in clips)


def test_a_missing_video_stays_in_its_split(tmp_path):
    source = _download(tmp_path)
    (source / "20bn-something-something-v2" / "78687.webm").unlink()
    missing = something_something_v2.read(source).splits["train"][0]
    assert missing.path == str(source / "20bn-something-something-v2" / "78687.webm")


def test_a_missing_split_names_both_file_names(tmp_path):
    source = _download(tmp_path)
    (source / "something-something-v2-train.json").unlink()
    with pytest.raises(
        AnnotationError,
        match=r"no file something-something-v2-train\.json or train\.json, in it or in its folder labels",
    ):
        something_something_v2.read(source)


def test_a_template_that_is_no_class_is_refused_with_the_entry(tmp_path):
    source = _download(tmp_path)
    train = [*_TRAIN, {"id": "3", "template": "Holdng [something]"}]
    (source / "something-something-v2-train.json").write_text(json.dumps(train))
    with pytest.raises(AnnotationError, match=r"train\.json, entry 3: .*did you mean Holding something"):
        something_something_v2.read(source)


@pytest.mark.parametrize(
    "labels",
    [["Holding something"], {}, {"a": "0", "b": "0"}, {"a": "0", "b": "2"}, {"a": None}, {"a": "first"}],
)
def test_classes_that_are_not_numbered_from_zero_are_refused(tmp_path, labels):
    source = _download(tmp_path)
    (source / "something-something-v2-labels.json").write_text(json.dumps(labels))
    with pytest.raises(AnnotationError, match=r"labels\.json: expected an object"):
        something_something_v2.read(source)


def test_a_folder_without_videos_says_how_to_unpack_them(tmp_path):
    source = _download(tmp_path)
    (source / "20bn-something-something-v2").rename(source / "elsewhere")
    with pytest.raises(AnnotationError, match=r"no folder 20bn-something-something-v2 or videos.*tar zx"):
        something_something_v2.read(source)


def test_a_folder_is_recognised_by_its_own_names_only(tmp_path):
    assert something_something_v2.looks_like(_download(tmp_path / "v2"))
    (tmp_path / "other" / "20bn-something-something-v1").mkdir(parents=True)
    assert not something_something_v2.looks_like(tmp_path / "other")
