"""MPII Cooking 2: intervals of a MATLAB file and lists of sequences, in a miniature of the published files."""

import pathlib
import sys

import numpy as np
import pytest

from motion_vit.data.datasets import mpii_cooking2
from motion_vit.errors import UserError

_MAT = "attributesAnnotations_MPII-Cooking-2.mat"
_INTERVALS = (
    ("s07-d72-cam-002", "enterV", 194, 243),
    ("s07-d72-cam-002", "take outV", 270, 414),
    ("s07-d72-cam-002", "lockV", 454, 725),
    ("s08-d02-cam-002", "take outV", 1, 40),
    ("s08-d02-cam-002", "addV", 41, 41),
    ("s37-d74-cam-002", "addV", 11064, 11094),
)
_ATTRIBUTES = ("addV", "apple", "enterV", "hand", "take outV", "washV")
_LISTS = {
    "sequencesTrainAttr.txt": "s08-d02\ns37-d74\n",
    "sequencesVal.txt": "s07-d72\n",
    "sequencesTest.txt": "s09-d01\n",
}


def _write_mat(path: pathlib.Path, intervals=_INTERVALS, fps: float = 29.4, leave_out: str = "") -> None:
    """Writes a MATLAB 7.3 file: HDF5 after 512 bytes, texts as columns of UTF-16 behind references."""
    h5py = pytest.importorskip("h5py", reason="MATLAB 7.3 files are read with h5py")
    with h5py.File(path, "w", userblock_size=512) as file:

        def write_texts(name: str, texts) -> None:
            cells = file.create_dataset(f"annos/{name}", (1, len(texts)), h5py.ref_dtype)
            for number, text in enumerate(texts):
                codes = np.frombuffer(text.encode("utf-16-le"), "<u2")[:, None]
                cells[0, number] = file.create_dataset(f"#refs#/{name}{number}", data=codes).ref

        videos, activities, first, last = zip(*intervals, strict=True)
        texts = {"fileName": videos, "activity": activities, "attributeMap": _ATTRIBUTES}
        numbers = {"startFrame": [first], "endFrame": [last], "frameRate": [[fps]]}
        for name in texts.keys() - {leave_out}:
            write_texts(name, texts[name])
        for name in numbers.keys() - {leave_out}:
            file[f"annos/{name}"] = np.array(numbers[name], np.float64)


def _download(source: pathlib.Path, folder: str = "experimentalSetup", **mat) -> pathlib.Path:
    (source / folder).mkdir(parents=True, exist_ok=True)
    for name, text in _LISTS.items():
        (source / folder / name).write_text(text)
    (source / "videos").mkdir(exist_ok=True)
    (source / "videos/s08-d02-cam-002.mp4").touch()
    _write_mat(source / _MAT, **mat)
    return source


@pytest.mark.parametrize("folder", ["experimentalSetup", "experimentalSetup/experimentalSetup"])
def test_activities_that_are_attributes_are_the_classes_and_sequences_divide_them(tmp_path, folder):
    dataset = mpii_cooking2.read(_download(tmp_path, folder))
    assert dataset.label_names == ("addV", "enterV", "take outV")
    converted, original = str(tmp_path / "videos/s08-d02-cam-002.mp4"), str(tmp_path / "videos/s37-d74-cam-002.avi")
    assert [(clip.id, clip.path, clip.label) for clip in dataset.splits["train"]] == [
        ("s08-d02-cam-002_0001", converted, "take outV"),
        ("s08-d02-cam-002_0002", converted, "addV"),
        ("s37-d74-cam-002_0001", original, "addV"),
    ]
    assert [(clip.id, clip.label) for clip in dataset.splits["validation"]] == [
        ("s07-d72-cam-002_0001", "enterV"),
        ("s07-d72-cam-002_0002", "take outV"),
    ]
    assert dataset.splits["test"] == ()
    assert dataset.mismatches == (
        "6 annotated intervals, the official file has 14,105",
        "1 sequences of the splits have no interval: s09-d01",
        "classes: 3, the official list has 67",
    )


def test_the_times_hold_exactly_the_frames_from_the_first_to_the_last(tmp_path):
    dataset = mpii_cooking2.read(_download(tmp_path))
    of_interval = {clip.id: clip for clips in dataset.splits.values() for clip in clips}
    for clip_id, first, last in (
        ("s07-d72-cam-002_0001", 194, 243),
        ("s08-d02-cam-002_0001", 1, 40),
        ("s08-d02-cam-002_0002", 41, 41),
        ("s37-d74-cam-002_0001", 11064, 11094),
    ):
        clip = of_interval[clip_id]
        frames = [number for number in range(1, 12000) if clip.start <= (number - 1) / 29.4 < clip.end]
        assert frames == list(range(first, last + 1))


def test_the_package_to_install_is_named_where_it_is_missing(tmp_path, monkeypatch):
    (tmp_path / _MAT).touch()
    for name, text in _LISTS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"MATLAB 7\.3 file.*pip install .motion_vit\[mpii\]"):
        mpii_cooking2.read(tmp_path)


@pytest.mark.parametrize("leave_out", ["fileName", "activity", "startFrame", "frameRate", "attributeMap"])
def test_a_matlab_file_without_a_field_is_refused(tmp_path, leave_out):
    with pytest.raises(UserError, match=r"\.mat is not the MATLAB file that was published .*download it again"):
        mpii_cooking2.read(_download(tmp_path, leave_out=leave_out))


def test_a_damaged_matlab_file_is_refused(tmp_path):
    path = _download(tmp_path) / _MAT
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"x" * len(whole)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"is not the MATLAB file that was published"):
            mpii_cooking2.read(tmp_path)


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        (("s07-d72-cam-002", "addV", 9, 8), r"interval 1: expected a video .* first and last frame, found .*, 9 and 8"),
        (("s07-d72-cam-002", "addV", 0, 8), r"interval 1: expected a video"),
        (("../x", "addV", 1, 8), r"interval 1: expected a video such as s07-d72-cam-002"),
    ],
)
def test_malformed_intervals_are_refused_with_their_number(tmp_path, interval, message):
    with pytest.raises(UserError, match=message):
        mpii_cooking2.read(_download(tmp_path, intervals=(interval,)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s08\n", r"sequencesVal\.txt, line 1: expected a sequence such as s07-d72, found 's08'"),
        ("s37-d74\n", r"the sequence 's37-d74' was named before, in .*sequencesTrainAttr\.txt"),
        ("", r"sequencesVal\.txt is empty"),
    ],
)
def test_malformed_lists_are_refused_with_their_line(tmp_path, text, message):
    for name, other in _LISTS.items():
        (tmp_path / name).write_text(text if name == "sequencesVal.txt" else other)
    (tmp_path / _MAT).touch()
    with pytest.raises(UserError, match=message):
        mpii_cooking2.read(tmp_path)


def test_missing_files_are_named_with_where_to_get_them(tmp_path):
    with pytest.raises(UserError, match=r"attributesAnnotations_MPII-Cooking-2\.mat.*docs/datasets/mpii_cooking2\.md"):
        mpii_cooking2.read(tmp_path)
    (tmp_path / _MAT).touch()
    assert mpii_cooking2.looks_like(tmp_path)
    with pytest.raises(UserError, match=r"no file sequencesTrainAttr\.txt"):
        mpii_cooking2.read(tmp_path)


def test_another_folder_is_not_recognised(tmp_path):
    (tmp_path / "videos").mkdir()
    assert not mpii_cooking2.looks_like(tmp_path)
