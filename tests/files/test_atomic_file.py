"""Files that are only ever seen whole, whatever goes wrong while they are written, and the sentence about it."""

import contextlib
import errno
import os
import pathlib
import pickle
import stat
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from full_disk import files_of_at_most
from matplotlib.figure import Figure

from motion_vit.data.batches.contact_sheet import CaptionedClip, draw_sheet
from motion_vit.data.video.encoding import write_video
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import (
    UNFINISHED,
    UnwritableError,
    atomic_file,
    atomic_path,
    make_folder,
    write_bytes,
    write_text,
)
from motion_vit.files.csv_file import write_csv
from motion_vit.files.figure_file import write_figure
from motion_vit.interop.exporting.self_check import SelfCheck, write_self_check
from motion_vit.training.checkpoints.weights_folder import write_config
from motion_vit.training.evaluation.confusion import draw_confusion, write_confusion_csv
from motion_vit.training.logs.curves import draw_curves
from motion_vit.training.logs.writers import JsonLinesWriter
from motion_vit.visualization.animation import write_gif, write_mp4

PICTURES = [np.full((32, 32, 3), shade, np.uint8) for shade in (0, 90, 200)]
CONFUSION = np.array([[1, 2, 0], [3, 4, 0]])
CLIP = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)

WRITERS: dict[str, Callable[[pathlib.Path], object]] = {
    "text.json": lambda path: write_text(path, "new" * 1000),
    "bytes.bin": lambda path: write_bytes(path, b"new" * 1000),
    "table.csv": lambda path: write_csv(path, [["a", 1]] * 1000),
    "figure.png": lambda path: write_figure(Figure(), path),
    "figure.svg": lambda path: write_figure(Figure(), path),
    "figure.pdf": lambda path: write_figure(Figure(), path),
    "confusion.csv": lambda path: write_confusion_csv(CONFUSION, ["a" * 500, "b" * 500], path),
    "confusion.png": lambda path: draw_confusion(CONFUSION, ["a", "b"], path),
    "curves.png": lambda path: draw_curves(path.with_name("absent"), path),
    "clip.gif": lambda path: write_gif(PICTURES, path, seconds=0.1),
    "clip.mp4": lambda path: write_mp4(PICTURES, path, seconds=0.1),
    "video.mp4": lambda path: write_video(path, CLIP),
    "video.webm": lambda path: write_video(path, CLIP),
    "sheet.png": lambda path: draw_sheet([[CaptionedClip("a", CLIP)]], path),
    "sheet.gif": lambda path: draw_sheet([[CaptionedClip("a", CLIP)]], path),
    "config.json": lambda path: write_config(path.parent, {"title": "new" * 500}),
    "self_check.json": lambda path: write_self_check(path.parent, SelfCheck(0, (1, 2), np.zeros((1, 500)), 0.1)),
    "metrics.jsonl": lambda path: JsonLinesWriter(path, 10),
}
OLD = b'{"step": 1, "split": "train"}\n' * 20


@contextlib.contextmanager
def failing(function: str, number: int) -> Iterator[None]:
    """A function of the system refuses what concerns unfinished files."""
    original = getattr(os, function)

    def refuse(place: object, *rest: object, **options: object) -> object:
        if function == "fsync" or UNFINISHED in str(place):
            raise OSError(number, os.strerror(number))
        return original(place, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, function, refuse)
        yield


FAULTS = {
    "a disk that fills up": (lambda: files_of_at_most(100), "File too large"),
    "a disk that is full at the end": (lambda: failing("fsync", errno.ENOSPC), "No space left on device. Make room"),
    "a folder that may not be written": (lambda: failing("open", errno.EACCES), "denied. Check the permissions of the"),
    "a file system for reading": (lambda: failing("open", errno.EROFS), "Read-only file system. Its file system is"),
    "a name that cannot be given": (lambda: failing("replace", errno.EDQUOT), "quota exceeded. Make room on its disk"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_be_written_is_explained_and_leaves_what_was_there(
    name: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / name
    for fault, message in FAULTS.values():
        path.write_bytes(OLD)
        with pytest.raises(UserError, match=message) as raised, fault():
            WRITERS[name](path)
        assert str(raised.value).startswith(f"{path} cannot be written: ")
        assert path.read_bytes() == OLD
        assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_replaces_an_earlier_one_and_may_be_read_by_whom_the_mask_allows(
    name: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / name
    path.write_bytes(OLD)
    mask = os.umask(0o027)
    try:
        WRITERS[name](path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_size > 0
    assert name == "metrics.jsonl" or path.read_bytes() != OLD
    assert os.listdir(tmp_path) == [name]


def test_what_stands_in_the_way_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for place, message in {
        "file/a.json": rf"a.json cannot be written: Not a directory. {tmp_path}/file is a file; name a folder",
        "folder": r"folder cannot be written: Is a directory. Give the name of a file",
        "absent/a.json": rf"No such file or directory. Make the folder {tmp_path}/absent first",
        "pipe": r"It is a device or a pipe, not a file",
    }.items():
        with pytest.raises(UnwritableError, match=message):
            write_text(tmp_path / place, "{}")
    with pytest.raises(UnwritableError, match="/dev/full cannot be written: It is a device"):
        write_text("/dev/full", "{}")
    for place in ("file", "file/deeper"):
        with pytest.raises(UnwritableError, match=rf"{tmp_path}/file is a file; name a folder"):
            make_folder(tmp_path / place)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "pipe"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file.json").write_text("old")
    (tmp_path / "link.json").symlink_to("file.json")
    write_text(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "file.json").read_text() == "new"


def test_the_longest_names_can_be_written(tmp_path: pathlib.Path) -> None:
    for name in ("n" * 250 + ".json", "." + "s" * 254):
        write_text(tmp_path / name, "new")
    with pytest.raises(UnwritableError, match="Give a shorter name"):
        write_text(tmp_path / ("n" * 256), "new")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_nothing(error: type[BaseException], tmp_path: pathlib.Path) -> None:
    for write in (atomic_path, atomic_file):
        with pytest.raises(error), write(tmp_path / "a.json"):
            raise error
    assert not os.listdir(tmp_path)


def test_text_of_half_characters_is_written_as_json_does(tmp_path: pathlib.Path) -> None:
    write_text(tmp_path / "a.txt", "ä\udcff")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa4\\udcff"


def test_the_error_leaves_a_worker_process_whole() -> None:
    error = UnwritableError("a.json", "No space left on device", "Make room.")
    copied = pickle.loads(pickle.dumps(error))
    assert str(copied) == str(error) == "a.json cannot be written: No space left on device. Make room."
