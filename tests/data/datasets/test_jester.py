import pathlib

import pytest

from motion_vit.data.datasets import jester
from motion_vit.data.datasets.annotation_files import AnnotationError
from motion_vit.data.datasets.source_dataset import SourceClip


def _download(source: pathlib.Path, names: str) -> pathlib.Path:
    """A download with the label files `names`, such as `jester-v1-{}.csv`."""
    for clip in ("34870", "56557", "9223"):
        (source / "20bn-jester-v1" / clip).mkdir(parents=True)
        (source / "20bn-jester-v1" / clip / "00001.jpg").touch()
    texts = {
        "labels": "Swiping Left\nSwiping Right\nNo gesture\n",
        "train": "34870;Swiping Right\n56557;No gesture\n",
        "validation": "9223;Swiping Left\n",
        "test": "1\n2\n",
    }
    for part, text in texts.items():
        path = source / names.format(part)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return source


@pytest.mark.parametrize("names", ["jester-v1-{}.csv", "labels/{}.csv", "annotations/jester-v1-{}.csv"])
def test_older_and_newer_downloads_give_the_same_clips(tmp_path, names):
    dataset = jester.read(_download(tmp_path, names))
    frames = tmp_path / "20bn-jester-v1"
    assert dataset.label_names == ("Swiping Left", "Swiping Right", "No gesture")
    assert dataset.splits == {
        "train": (
            SourceClip("34870", str(frames / "34870"), "Swiping Right"),
            SourceClip("56557", str(frames / "56557"), "No gesture"),
        ),
        "validation": (SourceClip("9223", str(frames / "9223"), "Swiping Left"),),
    }
    assert dataset.mismatches[0] == "classes: 3, the official list has 27"
    assert dataset.mismatches[1] == "train: 2 clips, the official list has 118,562"


def test_a_clip_listed_twice_is_refused_with_both_lines(tmp_path):
    source = _download(tmp_path, "jester-v1-{}.csv")
    (source / "jester-v1-train.csv").write_text("34870;No gesture\n5;No gesture\n34870;Swiping Left\n")
    with pytest.raises(AnnotationError, match=r"line 3: the clip '34870' was named before, in .*train\.csv, line 1"):
        jester.read(source)


def test_a_line_without_a_label_is_refused(tmp_path):
    source = _download(tmp_path, "jester-v1-{}.csv")
    (source / "jester-v1-train.csv").write_text("34870;No gesture\n56557\n")
    with pytest.raises(AnnotationError, match=r"train\.csv, line 2: expected id;label, found '56557'"):
        jester.read(source)


def test_a_folder_is_recognised_by_its_own_names_only(tmp_path):
    assert jester.looks_like(_download(tmp_path / "jester", "labels/{}.csv"))
    (tmp_path / "other" / "20bn-something-something-v1").mkdir(parents=True)
    assert not jester.looks_like(tmp_path / "other")
