import json
import pathlib

import pytest

from motion_vit.data.datasets import diving48
from motion_vit.data.datasets.annotation_files import AnnotationError
from motion_vit.data.datasets.source_dataset import SourceClip

_VOCABULARY = [
    ["Back", "15som", "05Twis", "FREE"],
    ["Back", "15som", "15Twis", "FREE"],
    ["Forward", "Dive", "NoTwis", "STR"],
]
_TRAIN = [
    {"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 48},
    {"vid_name": "2x00lRzlTVQ_00000", "label": 2, "start_frame": 0, "end_frame": 133},
]
_TEST = [{"vid_name": "_8Vy3dlHg2w_00001", "label": 1, "start_frame": 0, "end_frame": 90}]


def _download(source: pathlib.Path, version: str = "_V2", folder: str = "", videos: str = "rgb") -> pathlib.Path:
    (source / folder).mkdir(parents=True, exist_ok=True)
    (source / videos).mkdir()
    for clip in (*_TRAIN, *_TEST):
        (source / videos / f"{clip['vid_name']}.mp4").touch()
    for name, data in {f"{version}_train": _TRAIN, f"{version}_test": _TEST, "_vocab": _VOCABULARY}.items():
        (source / folder / f"Diving48{name}.json").write_text(json.dumps(data))
    return source


@pytest.mark.parametrize(("folder", "videos"), [("", "rgb"), ("annotations", "videos")])
def test_labels_number_the_vocabulary_and_the_test_list_is_the_validation_split(tmp_path, folder, videos):
    dataset = diving48.read(_download(tmp_path, folder=folder, videos=videos))
    names = ("Back+15som+05Twis+FREE", "Back+15som+15Twis+FREE", "Forward+Dive+NoTwis+STR")
    assert dataset.label_names == names
    assert dataset.splits == {
        "train": (
            SourceClip("-mmq0PT-u8k_00155", str(tmp_path / videos / "-mmq0PT-u8k_00155.mp4"), names[0]),
            SourceClip("2x00lRzlTVQ_00000", str(tmp_path / videos / "2x00lRzlTVQ_00000.mp4"), names[2]),
        ),
        "validation": (SourceClip("_8Vy3dlHg2w_00001", str(tmp_path / videos / "_8Vy3dlHg2w_00001.mp4"), names[1]),),
    }
    assert "train: 2 clips, the official list has 15,027" in dataset.mismatches
    assert "validation: 1 clip, the official list has 1,970" in dataset.mismatches


def test_labels_of_version_1_are_read_with_a_warning(tmp_path):
    dataset = diving48.read(_download(tmp_path, version=""))
    assert [len(clips) for clips in dataset.splits.values()] == [2, 1]
    assert "version 1" in dataset.mismatches[0]


def test_labels_of_version_2_are_preferred(tmp_path):
    source = _download(tmp_path)
    (source / "Diving48_train.json").write_text("not read")
    assert not any("version 1" in mismatch for mismatch in diving48.read(source).mismatches)


def test_a_missing_vocabulary_or_split_names_the_file(tmp_path):
    source = _download(tmp_path)
    (source / "Diving48_V2_test.json").unlink()
    with pytest.raises(AnnotationError, match=r"no file Diving48_V2_test\.json"):
        diving48.read(source)
    (source / "Diving48_vocab.json").unlink()
    with pytest.raises(AnnotationError, match=r"no file Diving48_vocab\.json"):
        diving48.read(source)


@pytest.mark.parametrize("vocabulary", [{}, [], [["Back", "15som"]], [[1, 2, 3, 4]], [_VOCABULARY[0], _VOCABULARY[0]]])
def test_a_malformed_vocabulary_is_refused(tmp_path, vocabulary):
    source = _download(tmp_path)
    (source / "Diving48_vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(AnnotationError, match=r"vocab\.json: (expected a list of lists|entry 2)"):
        diving48.read(source)


def test_a_class_number_beyond_the_vocabulary_is_refused_with_the_entry(tmp_path):
    source = _download(tmp_path)
    (source / "Diving48_V2_train.json").write_text(json.dumps([*_TRAIN, {"vid_name": "x", "label": 3}]))
    with pytest.raises(AnnotationError, match=r"train\.json, entry 3: .* class number from 0 to 2, found '3'"):
        diving48.read(source)


def test_a_folder_is_recognised_by_its_own_names_only(tmp_path):
    assert diving48.looks_like(_download(tmp_path / "diving"))
    (tmp_path / "other" / "rgb").mkdir(parents=True)
    assert not diving48.looks_like(tmp_path / "other")
