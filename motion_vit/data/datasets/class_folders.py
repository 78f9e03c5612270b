"""Videos in a folder for each class, `CLASS/clip.mp4`, or for each split and class, `train/CLASS/clip.mp4`."""

import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from motion_vit.counts import counted
from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.data.sources.video_list import is_video_or_frame_folder
from motion_vit.data.video.video_endings import has_video_ending
from motion_vit.errors import UserError
from motion_vit.files.broken_link import broken_link

_SHOWN_FOLDERS = 5


class ClassFolders(NamedTuple):
    """The clips found in class folders.

    Attributes:
      splits: split -> its clips, sorted by class and name; all are `train` where there are no folders of splits.
      left_out: files that were left out, in words.
    """

    splits: dict[str, tuple[SourceClip, ...]]
    left_out: tuple[str, ...]


def visible_folders(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Lists the folders in a folder, sorted, without hidden ones.

    Args:
      folder: absolute or relative to the working directory.

    Yields:
      Each folder in it.
    """
    yield from sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def read(source: pathlib.Path, split_of_name: Mapping[str, str]) -> ClassFolders:
    """Finds the clips: video files, told by their ending, and folders of frames, see `frame_files.FRAME_ENDINGS`.

    Args:
      source: the folder, absolute.
      split_of_name: the name of a folder, in lower case -> the split that it holds.

    Returns:
      The clips, each with its path relative to `source` as its id and the name of its class folder as its label.

    Raises:
      UserError: a folder cannot be listed, or a split has two folders.
    """
    try:
        return _read(source, split_of_name)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}; check its permissions") from None


def _read(source: pathlib.Path, split_of_name: Mapping[str, str]) -> ClassFolders:
    others: Counter[str] = Counter()
    empty: list[str] = []
    splits: dict[str, tuple[SourceClip, ...]] = {}
    found = _folders_of_splits(source, split_of_name)
    # Beside the class folders, which a link may stand for, and in them.
    links = _broken_links({source, *(folder.parent for folders in found.values() for folder in folders)})
    for split, folders in found.items():
        clips: list[SourceClip] = []
        for folder in folders:
            paths, others_here = _entries(folder)
            clips += [SourceClip(path.relative_to(source).as_posix(), str(path), folder.name) for path in paths]
            others += others_here
            links += _broken_links([folder])
            if not paths:
                empty.append(folder.relative_to(source).as_posix())
        splits[split] = tuple(clips)
    left_out = []
    if others:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        left_out.append(f"left out {others.total()} entries of the class folders that are no videos: {counts}")
    links = [link for link in links if not has_video_ending(link[0])]
    if links:
        shown = ", ".join(f"{path.relative_to(source)} is {nowhere}" for path, nowhere in links[:_SHOWN_FOLDERS])
        more = ", ..." if len(links) > _SHOWN_FOLDERS else ""
        left_out.append(f"left out {len(links)} links that lead nowhere: {shown}{more}")
    if empty:
        more = ", ..." if len(empty) > _SHOWN_FOLDERS else ""
        left_out.append(
            f"left out {counted(len(empty), 'folder')} without a video: {', '.join(empty[:_SHOWN_FOLDERS])}{more}"
        )
    return ClassFolders(splits, tuple(left_out))


def _broken_links(folders: Iterable[pathlib.Path]) -> list[tuple[pathlib.Path, str]]:
    """Lists the links in folders that lead nowhere, and where they lead."""
    visible = (path for folder in folders for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return [(path, nowhere) for path in visible if (nowhere := broken_link(path))]


def _folders_of_splits(source: pathlib.Path, split_of_name: Mapping[str, str]) -> dict[str, list[pathlib.Path]]:
    """Finds the class folders of each split; a folder `train` that holds videos itself is a class."""
    folders = list(visible_folders(source))
    training = [folder for folder in folders if split_of_name.get(folder.name.lower()) == "train"]
    if not any(not _entries(folder)[0] for folder in training):
        return {"train": folders}
    found: dict[str, list[pathlib.Path]] = {}
    for folder in folders:
        split = split_of_name.get(folder.name.lower())
        if split in found:
            raise UserError(f"{source} has two folders of the split {split}, one of them {folder.name}; join them")
        if split is not None:
            found[split] = list(visible_folders(folder))
    return found


def _entries(folder: pathlib.Path) -> tuple[list[pathlib.Path], Counter[str]]:
    """Returns the clips of a class folder, sorted, and the number of other files by kind."""
    clips = []
    others: Counter[str] = Counter()
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue  # What file managers leave behind: .DS_Store, ._clip.mp4
        if has_video_ending(path) and not path.is_dir():
            # A link that leads nowhere, or a pipe, is a video that cannot be read: it is named when it is prepared.
            clips.append(path)
        elif path.is_dir():
            if is_video_or_frame_folder(path):
                clips.append(path)
            else:
                others["folders without frames"] += 1
        elif not broken_link(path):
            others[path.suffix.lower() or "files without an ending"] += 1
    return clips, others
