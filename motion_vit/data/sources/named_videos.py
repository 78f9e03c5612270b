"""Finds the videos that names stand for: files, folders, patterns and lists.

A name that leads to no video costs none of the others: it stays in its place, with the reason.
"""

import dataclasses
import glob
import os
import pathlib
from collections.abc import Iterable, Iterator

from motion_vit.data.sources.list_file import ListFileError, read_rows
from motion_vit.data.sources.manifest import MANIFEST_FILE
from motion_vit.data.sources.tfds_location import is_tfds
from motion_vit.data.sources.video_list import row_paths
from motion_vit.data.video.frame_files import FRAME_PATTERNS, is_frame
from motion_vit.data.video.probing import check_window
from motion_vit.data.video.video_endings import has_video_ending
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path

_LIST_ENDING = ".csv"
# Folders in folders: more are a mistake, such as a link.
_DEEPEST = 100


@dataclasses.dataclass(frozen=True)
class NamedVideo:
    """A video that a name stands for, or a name that stands for none.

    Attributes:
      path: the video file or the folder of its frames; the name, where it leads to no video.
      start: the second of the video that is looked at first.
      end: the second of the video that the part ends before; None for the end of the video.
      error: why there is no video, in words; "" where there may be one. No video is opened.
    """

    path: str
    start: float = 0.0
    end: float | None = None
    error: str = ""


def find_videos(names: Iterable[str], *, start: float = 0.0, end: float | None = None) -> list[NamedVideo]:
    """Finds the videos that names stand for, in order.

    A name is one of

    * a video file, or a folder of JPEG or PNG frames, which is one video;
    * a folder: the videos in it and in the folders in it, sorted: files with the ending of a video, and folders of
      frames. What is hidden is left out;
    * a list, told by the ending `.csv`: the rows of a list of videos, as training reads it. The column `label` is not
      needed. A row's own `start` and `end` go before those of the call;
    * a pattern such as `"videos/**/*.mp4"`, which no file has for its name: all that it matches, sorted, each as if it
      were named itself.

    Args:
      names: as above.
      start: second of each video to start at.
      end: second of each video to end before; None for the end of the video.

    Returns:
      The videos, and in their places the names that lead to none.

    Raises:
      UserError: the part of the videos ends before it starts, or starts before 0.
    """
    check_window(start, end)
    return [video for name in names for video in _named(name, start, end)]


def _named(name: str, start: float, end: float | None) -> Iterator[NamedVideo]:
    if os.path.lexists(name):
        yield from _found(name, start, end)
        return
    if is_tfds(name):
        yield NamedVideo(name, error="it is a set of tensorflow_datasets; `motion-vit evaluate` reads such sets")
        return
    try:
        local_path(name)
    except UserError as error:
        yield NamedVideo(name, error=str(error).rstrip("."))
        return
    if not glob.has_magic(name):
        yield NamedVideo(name, start, end)  # reading it says what is wrong with it
        return
    matches = sorted(glob.glob(name, recursive=True))
    if not matches:
        yield NamedVideo(name, error="no file has this name, or matches it as a pattern")
    for match in matches:
        yield from _found(match, start, end)


def _found(path: str, start: float, end: float | None) -> Iterator[NamedVideo]:
    if os.path.isdir(path):
        for video in _in_folder_or_error(path):
            yield video if video.error else dataclasses.replace(video, start=start, end=end)
    elif path.lower().endswith(_LIST_ENDING):
        yield from _in_list(path, start, end)
    else:
        yield NamedVideo(path, start, end)


def _in_list(path: str, start: float, end: float | None) -> Iterator[NamedVideo]:
    source = pathlib.Path(path)
    try:
        rows = read_rows(source, labelled=False)
    except ListFileError as error:
        yield NamedVideo(path, error=str(error))
        return
    for row, video in zip(rows, row_paths(source, rows), strict=True):
        whole = row.start is None and row.end is None
        yield NamedVideo(video, start, end) if whole else NamedVideo(video, row.start or 0.0, row.end)


def _in_folder_or_error(folder: str) -> list[NamedVideo]:
    if os.path.exists(os.path.join(folder, MANIFEST_FILE)):
        return [NamedVideo(folder, error="it is a prepared folder; `motion-vit evaluate` reads such folders")]
    found = list(_in_folder(folder, set()))
    reason = f"there is no video in it: neither a file with the ending of a video nor frames ({FRAME_PATTERNS})"
    return found or [NamedVideo(folder, error=reason)]


def _in_folder(folder: str, above: set[tuple[int, int]]) -> Iterator[NamedVideo]:
    """Yields the videos of a folder, and of the folders in it.

    Args:
      folder: its path, also of a link.
      above: device and inode of the folders that it lies in: a link can lead back to one of them.
    """
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield NamedVideo(folder, error=f"the folder cannot be read: {error.strerror}; check its permissions")
        return
    itself = (status.st_dev, status.st_ino)
    if itself in above:
        return
    if len(above) == _DEEPEST:
        yield NamedVideo(folder, error=f"folders are nested more than {_DEEPEST} deep; name the one that is meant")
        return
    folders = [entry for entry in entries if os.path.isdir(entry.path) and not entry.name.startswith(".")]
    # Also a link that leads nowhere, or a pipe: reading it says what is wrong with it.
    files = [entry for entry in entries if not os.path.isdir(entry.path)]
    found = [NamedVideo(entry.path) for entry in files if has_video_ending(entry.name)]
    for entry in folders:
        found += _in_folder(entry.path, above | {itself})
    if not any(is_frame(entry.name) for entry in files):
        yield from found
    elif not found:
        yield NamedVideo(folder)
    else:
        reason = (
            f"it holds pictures ({FRAME_PATTERNS}) beside videos, so that it may be one video or several; name what is "
            "meant, for example with a pattern"
        )
        yield NamedVideo(folder, error=reason)
