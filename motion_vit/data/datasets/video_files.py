"""Finds the videos of a download, which people unpack and convert in different ways."""

import itertools
import os
import pathlib
from collections.abc import Iterable, Sequence

from motion_vit.data.datasets.annotation_files import AnnotationError, first_existing

VIDEO_EXTENSIONS = (".mp4", ".mkv", ".webm", ".avi", ".mov")

# How many clips are looked for before a folder or an ending is taken for the wrong one: some videos are missing in
# almost every download, all of the first hundred are not.
_PROBED_CLIPS = 100


def find_folder(source: pathlib.Path, names: Sequence[str], obtain: str) -> pathlib.Path:
    """Finds the folder of the videos or frame folders.

    Args:
      source: the folder of the download.
      names: names of folders below `source`, the preferred one first; "." is `source` itself.
      obtain: a clause that says what the folder holds and how to make it, for the message.

    Returns:
      The first of them that is there.

    Raises:
      AnnotationError: None of them is there.
    """
    found = first_existing(source, names)
    if found is None or not found.is_dir():
        raise AnnotationError(f"{source} has no folder {' or '.join(names)}: {obtain}")
    return found


def holds_any(folder: pathlib.Path, paths: Iterable[str]) -> bool:
    """Tells if a folder is the one that relative paths start from.

    Args:
      folder: of the videos, perhaps.
      paths: paths of videos; only the first hundred are looked for.

    Returns:
      True if one of these exists below the folder.
    """
    # Not `Path.exists`, which raises where a damaged list makes a name too long for the file system.
    return any(os.path.exists(folder / path) for path in itertools.islice(paths, _PROBED_CLIPS))


def common_extension(folder: pathlib.Path, stems: Sequence[str], published: str) -> str:
    """Finds the file ending of videos in a folder that holds nothing else.

    Args:
      folder: with the videos.
      stems: the names of the videos without ending; only the first hundred are looked for.
      published: ending as published, which is also the answer where none of them is found.

    Returns:
      The ending, with its dot.
    """
    endings = (published, *(ending for ending in VIDEO_EXTENSIONS if ending != published))
    return next((ending for ending in endings if holds_any(folder, (stem + ending for stem in stems))), published)


def videos_by_stem(folder: pathlib.Path) -> dict[str, str]:
    """Lists the videos of a folder and of the folders in it.

    Args:
      folder: the folder, for example of a split, with its videos or with a folder for each class.

    Returns:
      The name of each video without ending -> its absolute path.

    Raises:
      AnnotationError: the folder cannot be listed.
    """
    found: dict[str, str] = {}
    try:
        for top in sorted(os.scandir(folder), key=lambda entry: entry.name):
            entries = sorted(os.scandir(top.path), key=lambda entry: entry.name) if top.is_dir() else [top]
            for entry in entries:
                stem, ending = os.path.splitext(entry.name)
                if ending.lower() in VIDEO_EXTENSIONS:
                    found.setdefault(stem, os.path.abspath(entry.path))
    except OSError as error:
        raise AnnotationError(f"the folder {error.filename} cannot be listed: {error.strerror}") from None
    return found
