import pathlib

import pytest

from motion_vit import UserError
from motion_vit.data.sources.unlabelled import UNKNOWN_LABEL, open_unlabelled
from motion_vit.data.sources.video_list import read_video_list


def write_list(folder: pathlib.Path, *lines: str) -> str:
    for name in ("a.mp4", "b.mp4"):
        (folder / name).touch()
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_list_needs_no_labels(tmp_path: pathlib.Path) -> None:
    source = open_unlabelled(write_list(tmp_path, "path", "a.mp4", "b.mp4"))
    assert [clip.id for clip in (source[0], source[1])] == ["a.mp4", "b.mp4"]
    assert [source[row].label for row in range(len(source))] == [UNKNOWN_LABEL] * 2
    assert source.label_names == ()


def test_labels_are_not_looked_at_and_no_part_of_the_fingerprint(tmp_path: pathlib.Path) -> None:
    source = open_unlabelled(write_list(tmp_path, "path,label", "a.mp4,x", "b.mp4,"))
    assert {source[row].label for row in range(len(source))} == {UNKNOWN_LABEL}
    before = source.fingerprint
    assert open_unlabelled(write_list(tmp_path, "path", "a.mp4", "b.mp4")).fingerprint == before
    assert open_unlabelled(write_list(tmp_path, "path", "b.mp4", "a.mp4")).fingerprint != before


def test_known_labels_are_of_the_classes_that_are_learned(tmp_path: pathlib.Path) -> None:
    path = write_list(tmp_path, "path,label", "a.mp4,x", "b.mp4,y")
    source = open_unlabelled(path, label_names=("y", "x"))
    assert [source[0].label, source[1].label] == [1, 0]
    assert source.fingerprint == read_video_list(path, label_names=("y", "x")).fingerprint
    with pytest.raises(UserError, match=r"line 3: unknown label 'y'"):
        open_unlabelled(path, label_names=("x", "z"))
