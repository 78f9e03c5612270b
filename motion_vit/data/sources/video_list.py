"""A list file of videos as a clip source: resolves paths and numbers the classes."""

import dataclasses
import difflib
import functools
import hashlib
import json
import math
import os
import pathlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.sources.label_likeness import lookalike, warn_of_lookalikes
from motion_vit.data.sources.list_file import (
    ListFileError,
    ListRow,
    abbreviated,
    clip_ids,
    is_integer,
    quoted,
    read_rows,
    read_text,
)
from motion_vit.data.video.frame_files import FRAME_PATTERNS, is_frame
from motion_vit.files.broken_link import broken_link

# How many offending rows an error shows before it only counts them.
_SHOWN_ROWS = 5
_SHOWN_NAMES = 10
# Linux takes no longer path: a longer one is damage, and is cut in messages.
_LONGEST_PATH = 4096
# Looking for similar names takes time in the length of a label; a longer one is damage, not a misspelling.
_LONGEST_MISSPELLING = 200

LABELS_FILE = "labels.txt"
_NO_CLASSES = ("unlabelled",)


@dataclasses.dataclass(frozen=True, eq=False)
class VideoList:
    """The videos of a split: a `ClipSource` of files that are read in place.

    Attributes:
      source: path of the list file.
      ids: name of each clip: its path as written in the list, followed by its times where a video has several clips.
      paths: video files or folders of frames, resolved against the list's folder.
      labels: class of each clip, an index into `label_names`.
      label_names: the names of the classes, in the order of the model's outputs.
      frames: number of frames of each clip; None where the list does not say it for every clip, or gives a start or an
        end, since only decoding counts the frames between two times.
      starts: start of each clip in seconds of its video, 0.0 for the video's start.
      ends: end of each clip in seconds of its video, exclusive; infinite for the video's end.
    """

    source: pathlib.Path
    ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: Int[np.ndarray, " n"]
    label_names: tuple[str, ...]
    frames: Int[np.ndarray, " n"] | None
    starts: Float[np.ndarray, " n"]
    ends: Float[np.ndarray, " n"]

    @property
    def name(self) -> str:
        """The path of the list file."""
        return str(self.source)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the classes and of every clip's name, class, times and frames, but not of where the files are.

        The videos are not opened.
        """
        digest = hashlib.sha256(json.dumps(self.label_names).encode())
        for row, clip_id in enumerate(self.ids):
            frames = None if self.frames is None else int(self.frames[row])
            end = None if math.isinf(self.ends[row]) else float(self.ends[row])
            label = self.label_names[self.labels[row]]
            digest.update(json.dumps([clip_id, label, float(self.starts[row]), end, frames]).encode())
        return digest.hexdigest()

    @property
    def clips_of_class(self) -> tuple[int, ...]:
        """The number of clips of each class, in the order of `label_names`."""
        return tuple(np.bincount(self.labels, minlength=len(self.label_names)).tolist())

    @property
    def frame_rate(self) -> float:
        """0.0: a list does not say it."""
        return 0.0

    def __len__(self) -> int:
        """Returns the number of clips."""
        return len(self.paths)

    def __getitem__(self, row: int) -> StoredClip:
        """Returns the clip of a row without opening its file.

        Args:
          row: the row, from 0.

        Returns:
          The clip.
        """
        return StoredClip(
            id=self.ids[row],
            label=int(self.labels[row]),
            video=self.paths[row],
            frames=None if self.frames is None else int(self.frames[row]),
            start=float(self.starts[row]),
            end=None if math.isinf(self.ends[row]) else float(self.ends[row]),
        )


def is_video_or_frame_folder(path: str | os.PathLike[str]) -> bool:
    """Tells if a path is a regular file, or a folder with at least one frame, see `frame_files.FRAME_ENDINGS`."""
    if os.path.isfile(path):
        return True
    try:
        with os.scandir(path) as entries:
            return any(is_frame(entry.name) for entry in entries)
    # ValueError: the path has a character that no path can have.
    except (OSError, ValueError):
        return False


def _why(path: str) -> str:
    nowhere = broken_link(path)
    return f": it is {nowhere}" if nowhere else ""


def row_paths(source: pathlib.Path, rows: Sequence[ListRow]) -> tuple[str, ...]:
    """Resolves the paths of a list against the list's folder.

    Args:
      source: the list file.
      rows: from `read_rows`.

    Returns:
      An absolute path for each row; nothing need be there.
    """
    folder = source.resolve().parent
    return tuple(os.path.normpath(os.path.join(folder, row.path)) for row in rows)


def _resolve_paths(source: pathlib.Path, rows: Sequence[ListRow], check_files: bool) -> tuple[str, ...]:
    paths = row_paths(source, rows)
    if not check_files:
        return paths
    missing = [
        f"  line {row.line}: {path if len(path) < _LONGEST_PATH else quoted(path)}{_why(path)}"
        for row, path in zip(rows, paths, strict=True)
        if not is_video_or_frame_folder(path)
    ]
    if missing:
        raise ListFileError(
            f"{len(missing)} of the {counted(len(rows), 'video')} of {source} do not exist, or are no files:\n"
            + "\n".join(missing[:_SHOWN_ROWS])
            + (f"\n  and {len(missing) - _SHOWN_ROWS} more" if len(missing) > _SHOWN_ROWS else "")
            + f"\nrelative paths are relative to the list's folder, {source.resolve().parent}; a folder counts "
            f"where it holds {FRAME_PATTERNS}"
        )
    return paths


def read_label_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Reads the names of the classes, one a line, in the order of the model's outputs.

    Args:
      path: the text file, usually `labels.txt` beside the list.

    Returns:
      The names.

    Raises:
      ListFileError: the file is missing or empty, or a name comes twice.
    """
    source = pathlib.Path(path)
    # Not `splitlines`, which also splits at characters that may be a part of a name.
    names = tuple(line.strip() for line in read_text(source).split("\n") if line.strip())
    if not names:
        raise ListFileError(f"{source} names no label; expected one a line")
    _check_unique(str(source), names)
    return names


def _check_unique(source: str, names: Sequence[str]) -> None:
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise ListFileError(f"{source}: the label {quoted(repeated[0])} comes more than once")


def _sorted_names(labels: set[str]) -> tuple[str, ...]:
    if all(map(is_integer, labels)):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _label_index(source: pathlib.Path, row: ListRow, names: Sequence[str], lookup: dict[str, int]) -> int:
    if row.label in lookup:
        return lookup[row.label]
    hint = "."
    if len(row.label) <= _LONGEST_MISSPELLING:
        near = difflib.get_close_matches(row.label, names, n=3)
        hint = f"; did you mean {' or '.join(map(abbreviated, near))}?" if near else "."
        hint = lookalike(row.label, names) or hint
    shown = ", ".join(map(abbreviated, names[:_SHOWN_NAMES])) + (", ..." if len(names) > _SHOWN_NAMES else "")
    raise ListFileError(
        f"{source}, line {row.line}: unknown label {quoted(row.label)}{hint} "
        f"Expected one of the {len(names)} labels: {shown}"
    )


def _numbered_index(source: pathlib.Path, row: ListRow, names: Sequence[str]) -> int:
    if int(row.label) < len(names):
        return int(row.label)
    raise ListFileError(
        f"{source}, line {row.line}: the label {row.label} is out of range; the {len(names)} classes are numbered "
        f"0 to {len(names) - 1}"
    )


def number_labels(
    source: pathlib.Path, rows: Sequence[ListRow], label_names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], list[int]]:
    """Assigns a class to each row, in the order of precedence of `read_video_list`.

    Args:
      source: the list file, beside which `labels.txt` is looked for.
      rows: from `read_rows`.
      label_names: the names of the classes, if they are known.

    Returns:
      The names of the classes, and for each row an index into them.

    Raises:
      ListFileError: `labels.txt` cannot be used, a name comes twice, or a row has an unknown label.
    """
    found = {row.label for row in rows}
    if label_names is None and os.path.lexists(source.parent / LABELS_FILE):
        label_names = read_label_names(source.parent / LABELS_FILE)
    names = _sorted_names(found) if label_names is None else tuple(label_names)
    _check_unique("label_names", names)
    if all(map(is_integer, found)) and not all(map(is_integer, names)):
        known = found & set(names)
        if not known:
            return names, [_numbered_index(source, row, names) for row in rows]
        if known != found:
            raise ListFileError(
                f"{source}: the labels are numbers, of which {sorted(known)[0]!r} is the name of a class and "
                f"{sorted(found - known)[0]!r} is not. Write the names of all classes, so that no number is taken for "
                "the place of a class in the list of names"
            )
    lookup = {name: index for index, name in enumerate(names)}
    return names, [_label_index(source, row, names, lookup) for row in rows]


def read_video_list(
    path: str | os.PathLike[str],
    *,
    label_names: Sequence[str] | None = None,
    check_files: bool = True,
    labelled: bool = True,
) -> VideoList:
    """Reads a list of videos.

    The file is CSV with a header that has the columns `path` and `label`. Other columns than these are ignored:

    * `frames`, the number of frames of the video, which saves counting them. It is used where every row has it and none
      has a start or an end.
    * `start`, `end`, the part of the video in seconds; empty for the start or the end of the video.

    A path is a video file or a folder of JPEG or PNG frames, and relative to the list's folder. The classes are, in
    this order of precedence: `label_names`; the file `labels.txt` beside the list; the labels found, sorted (as numbers
    where all are numbers). Where the names are given and are words while all labels are numbers, the numbers count the
    names.

    Args:
      path: the list file.
      label_names: the names of the classes in the order of the model's outputs, for example from a checkpoint.
      check_files: raise an error for missing videos.
      labelled: whether the labels are read. If not, the column `label` may be missing, and all clips are of one class.

    Returns:
      The list.

    Raises:
      ListFileError: a missing, empty or malformed list, an unknown label, a clip that comes twice, several splits in
        one list, or missing videos.
    """
    source = pathlib.Path(path)
    rows = read_rows(source, labelled=labelled)
    splits = sorted({row.split for row in rows if row.split})
    if len(splits) > 1:
        raise ListFileError(
            f"{source} holds several splits ({quoted(', '.join(splits))}), and a list is read as one; give each its "
            "own file, or prepare it with `motion-vit prepare list`"
        )
    ids = clip_ids(source, rows)
    if labelled:
        names, labels = number_labels(source, rows, label_names)
        warn_of_lookalikes(str(source), names)
    else:
        names, labels = _NO_CLASSES, [0] * len(rows)
    starts = np.array([row.start or 0.0 for row in rows])
    ends = np.array([math.inf if row.end is None else row.end for row in rows])
    whole = not starts.any() and np.isinf(ends).all()
    counted = all(row.frames is not None for row in rows)
    return VideoList(
        source=source,
        ids=tuple(ids),
        paths=_resolve_paths(source, rows, check_files),
        labels=np.array(labels, np.int32),
        label_names=names,
        frames=np.array([row.frames for row in rows], np.int64) if whole and counted else None,
        starts=starts,
        ends=ends,
    )
