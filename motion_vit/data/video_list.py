"""The list file that names the videos of a split and their labels: CSV with the header `path,label`."""

import csv
import dataclasses
import difflib
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from motion_vit.errors import UserError

# How many offending rows an error shows before it only counts them.
_SHOWN_ROWS = 5
_SHOWN_NAMES = 10
_INTEGER = re.compile(r"[0-9]+")

LABELS_FILE = "labels.txt"


class ListFileError(UserError):
    """A list file that cannot be used; the message names the file, the row and what was expected."""


@dataclasses.dataclass(frozen=True, eq=False)
class VideoList:
    """The videos of a split.

    Attributes:
      source: The list file.
      paths: The video files, resolved against the list's folder.
      labels: For each video its class, an index into `label_names`.
      label_names: The names of the classes, in the order of the model's outputs.
      frames: For each video its number of frames, or None where the list does not say.
    """

    source: pathlib.Path
    paths: tuple[str, ...]
    labels: Int[np.ndarray, " n"]
    label_names: tuple[str, ...]
    frames: Int[np.ndarray, " n"] | None = None

    def __len__(self) -> int:
        """The number of videos."""
        return len(self.paths)


@dataclasses.dataclass(frozen=True)
class _Row:
    """One line of a list: its number in the file, the path and the label as written, the frames (0: not given)."""

    line: int
    path: str
    label: str
    frames: int


def _read_text(source: pathlib.Path) -> str:
    try:
        return source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ListFileError(f"the list file {source} does not exist") from None
    except IsADirectoryError:
        raise ListFileError(f"{source} is a folder; give the CSV file itself") from None
    except UnicodeDecodeError as error:
        raise ListFileError(f"the list file {source} is not UTF-8 text ({error.reason}); save it as UTF-8") from None


def _check_header(source: pathlib.Path, header: Sequence[str]) -> None:
    missing = [column for column in ("path", "label") if column not in header]
    if missing:
        raise ListFileError(
            f"the list file {source} lacks the column {' and '.join(missing)}: its first line is {','.join(header)!r}, "
            "expected a header with path,label, for example:\npath,label\nvideos/one.mp4,walking"
        )


def _read_rows(source: pathlib.Path) -> list[_Row]:
    reader = csv.reader(_read_text(source).splitlines(), skipinitialspace=True)
    header = [column.strip() for column in next(reader, [])]
    if not header:
        raise ListFileError(f"the list file {source} is empty; expected a header path,label and one line a video")
    _check_header(source, header)
    rows = []
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise ListFileError(
                f"{source}, line {reader.line_num}: {len(cells)} cells where the header has {len(header)}; "
                "a path or label with a comma needs quotes"
            )
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        rows.append(_parse_row(source, reader.line_num, row))
    if not rows:
        raise ListFileError(f"the list file {source} has a header and no videos")
    return rows


def _parse_row(source: pathlib.Path, line: int, row: dict[str, str]) -> _Row:
    for column in ("path", "label"):
        if not row[column]:
            raise ListFileError(f"{source}, line {line}: the {column} is empty")
    frames = row.get("frames", "")
    if frames and (not _INTEGER.fullmatch(frames) or int(frames) == 0):
        raise ListFileError(f"{source}, line {line}: frames must be a positive whole number or empty, not {frames!r}")
    return _Row(line, row["path"], row["label"], int(frames or 0))


def _resolve_paths(source: pathlib.Path, rows: Sequence[_Row], check_files: bool) -> tuple[str, ...]:
    folder = source.resolve().parent
    paths = tuple(os.path.normpath(folder / row.path) for row in rows)
    if check_files:
        missing = [
            f"  line {row.line}: {path}" for row, path in zip(rows, paths, strict=True) if not os.path.isfile(path)
        ]
        if missing:
            raise ListFileError(
                f"{len(missing)} of the {len(rows)} videos of {source} do not exist:\n"
                + "\n".join(missing[:_SHOWN_ROWS])
                + (f"\n  and {len(missing) - _SHOWN_ROWS} more" if len(missing) > _SHOWN_ROWS else "")
                + f"\nrelative paths are relative to the list's folder, {folder}"
            )
    return paths


def read_label_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Reads the names of the classes, one a line, in the order of the model's outputs.

    Args:
      path: The text file, usually `labels.txt` beside the list.

    Returns:
      The names.

    Raises:
      ListFileError: The file is missing or empty, or a name comes twice.
    """
    source = pathlib.Path(path)
    names = tuple(line.strip() for line in _read_text(source).splitlines() if line.strip())
    if not names:
        raise ListFileError(f"{source} names no label; expected one a line")
    _check_unique(str(source), names)
    return names


def _check_unique(source: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ListFileError(f"{source}: the label {repeated[0]!r} comes more than once")


def _sorted_names(labels: set[str]) -> tuple[str, ...]:
    if all(_INTEGER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _label_index(source: pathlib.Path, row: _Row, names: Sequence[str], lookup: dict[str, int], numbered: bool) -> int:
    if numbered:
        if int(row.label) < len(names):
            return int(row.label)
        raise ListFileError(
            f"{source}, line {row.line}: the label {row.label} is out of range; the {len(names)} classes are numbered "
            f"0 to {len(names) - 1}"
        )
    if row.label in lookup:
        return lookup[row.label]
    near = difflib.get_close_matches(row.label, names, n=3)
    shown = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
    raise ListFileError(
        f"{source}, line {row.line}: unknown label {row.label!r}"
        + (f"; did you mean {' or '.join(near)}?" if near else ".")
        + f" Expected one of the {len(names)} labels: {shown}"
    )


def read_video_list(
    path: str | os.PathLike[str], *, label_names: Sequence[str] | None = None, check_files: bool = True
) -> VideoList:
    """Reads a list of videos.

    The file is CSV with a header that has the columns `path` and `label`, and optionally `frames` (used where every row
    has it); other columns are ignored. Relative paths are relative to the list's folder. The classes are, in this order
    of precedence: `label_names`; the file `labels.txt` beside the list; the labels found, sorted (as numbers where all
    are numbers). Where the names are given and are words while all labels are numbers, the numbers count the names.

    Args:
      path: The list file.
      label_names: The names of the classes in the order of the model's outputs, for example from a checkpoint.
      check_files: Whether every video must exist.

    Returns:
      The list.

    Raises:
      ListFileError: A missing, empty or malformed list, an unknown label, or missing videos.
    """
    source = pathlib.Path(path)
    rows = _read_rows(source)
    found = {row.label for row in rows}
    numbered = False
    if label_names is None and (source.parent / LABELS_FILE).is_file():
        label_names = read_label_names(source.parent / LABELS_FILE)
    if label_names is None:
        names = _sorted_names(found)
    else:
        names = tuple(label_names)
        _check_unique("label_names", names)
        numbered = all(map(_INTEGER.fullmatch, found)) and not all(map(_INTEGER.fullmatch, names))
    lookup = {name: index for index, name in enumerate(names)}
    labels = [_label_index(source, row, names, lookup, numbered) for row in rows]
    frames = [row.frames for row in rows]
    return VideoList(
        source=source,
        paths=_resolve_paths(source, rows, check_files),
        labels=np.array(labels, np.int32),
        label_names=names,
        frames=np.array(frames, np.int64) if all(frames) else None,
    )
