"""The CSV list of videos: header `path,label` and optionally `frames`, `start`, `end`, `split`."""

import csv
import dataclasses
import io
import math
import pathlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from motion_vit.counts import counted
from motion_vit.errors import UserError
from motion_vit.files.regular_file import read_regular_text

_REQUIRED = ("path", "label")
_REQUIRED_WITHOUT_LABELS = ("path",)
# Longer runs of digits overflow the int64 of frame numbers, and beyond 4300 Python refuses to read them at all.
_INTEGER = re.compile(r"[0-9]{1,18}")
_SHOWN_CHARACTERS = 80

MOST_FRAMES = 10**8
"""Frames of a video, at most: more than a month at 30 frames a second. A greater number is a mistake."""

MOST_SECONDS = 10**7
"""Seconds of a video, at most: more than a hundred days."""


class ListFileError(UserError):
    """Error of a list file; the message names the file, the row and what was expected."""


@dataclasses.dataclass(frozen=True)
class ListRow:
    """One row of a list, as written.

    Attributes:
      line: the line of the file that the row ends on, from 1.
      path: the video file or the folder of its JPEG frames.
      label: the class; empty where the row does not say, and need not.
      frames: the number of frames of the video; None where the row does not say.
      start: the second of the video that the clip starts at; None where the row does not say.
      end: the second of the video that the clip ends before; None where the row does not say.
      split: the split that the row belongs to; empty where the row does not say.
    """

    line: int
    path: str
    label: str
    frames: int | None = None
    start: float | None = None
    end: float | None = None
    split: str = ""


def is_integer(text: str) -> bool:
    """Tells if a label or a cell is a whole number of at most 18 digits."""
    return _INTEGER.fullmatch(text) is not None


def abbreviated(text: str) -> str:
    """Abbreviates a text for a message: damage can make a cell as long as the file."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def quoted(text: str) -> str:
    """Quotes a given value for a message, abbreviated where it is long."""
    return repr(abbreviated(text))


def read_text(source: pathlib.Path) -> str:
    """Reads a UTF-8 text file, with or without a byte order mark; its lines then end with a newline sign alone.

    Args:
      source: the file.

    Returns:
      Its text.

    Raises:
      ListFileError: the file does not exist, cannot be read, or is no UTF-8 text.
    """
    try:
        text = read_regular_text(source, "utf-8-sig")
    except FileNotFoundError:
        raise ListFileError(f"the list file {source} does not exist") from None
    except IsADirectoryError:
        raise ListFileError(f"{source} is a folder; give the CSV file itself") from None
    except OSError as error:
        raise ListFileError(f"the list file {source} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ListFileError(f"the list file {source} is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    if "\0" in text:
        raise ListFileError(
            f"the list file {source} holds NUL bytes, so it is no UTF-8 text: a damaged or binary file, or UTF-16; "
            "save it as UTF-8"
        )
    return text


def _read_cells(source: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the lines that are not empty, with their numbers, as cells without surrounding blanks."""
    reader = csv.reader(io.StringIO(read_text(source), newline=""), skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ListFileError(
            f"{source}, line {reader.line_num}: not a line of CSV ({error}); check for a quote that is not closed"
        ) from None


def _check_header(source: pathlib.Path, header: Sequence[str], required: Sequence[str]) -> None:
    missing = [column for column in required if column not in header]
    if missing:
        columns = ",".join(required)
        example = "videos/one.mp4,walking" if "label" in required else "videos/one.mp4"
        lacked = f"column{'s' if len(missing) > 1 else ''} {' and '.join(missing)}"
        raise ListFileError(
            f"the list file {source} lacks the {lacked}: its first line is {quoted(','.join(header))}, expected a "
            f"header with {columns}, for example:\n{columns}\n{example}"
        )
    for column in ("path", "label", "frames", "start", "end", "split"):
        if header.count(column) > 1:
            raise ListFileError(f"the list file {source} has the column {column} {header.count(column)} times")


def _parse_seconds(where: str, column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    # Also false for what is not a number.
    if not 0 <= seconds <= MOST_SECONDS:
        raise ListFileError(
            f"{where}: {column} must be a time in seconds from 0 to {MOST_SECONDS}, or empty, not {quoted(text)}"
        )
    return seconds


def _parse_row(where: str, line: int, row: dict[str, str], required: Sequence[str]) -> ListRow:
    for column in required:
        if not row[column]:
            raise ListFileError(f"{where}: the {column} is empty")
        if "\n" in row[column]:
            raise ListFileError(f"{where}: the {column} goes over several lines; check for a quote that is not closed")
    frames = row.get("frames", "")
    if frames and not (is_integer(frames) and 1 <= int(frames) <= MOST_FRAMES):
        raise ListFileError(
            f"{where}: frames must be a whole number from 1 to {MOST_FRAMES}, or empty, not {quoted(frames)}"
        )
    start = _parse_seconds(where, "start", row.get("start", ""))
    end = _parse_seconds(where, "end", row.get("end", ""))
    if end is not None and end <= (start or 0.0):
        raise ListFileError(f"{where}: the clip ends at {end:g} s, not after its start at {start or 0.0:g} s")
    count = int(frames) if frames else None
    return ListRow(line, row["path"], row.get("label", ""), count, start, end, row.get("split", ""))


def read_rows(source: pathlib.Path, *, labelled: bool = True) -> list[ListRow]:
    """Reads the rows of a list.

    Args:
      source: the CSV file. Columns other than those of `ListRow` are ignored.
      labelled: whether every row must have a label. Where labels are not needed, they are "" if there are none.

    Returns:
      Its rows, at least one.

    Raises:
      ListFileError: the file is missing, is no CSV in UTF-8, lacks a column, has no rows, or a cell cannot be used.
    """
    required = _REQUIRED if labelled else _REQUIRED_WITHOUT_LABELS
    lines = _read_cells(source)
    _, header = next(lines, (0, []))
    if not header:
        raise ListFileError(
            f"the list file {source} is empty; expected a header {','.join(required)} and one line a video"
        )
    _check_header(source, header, required)
    rows = []
    for line, cells in lines:
        if len(cells) != len(header):
            raise ListFileError(
                f"{source}, line {line}: {counted(len(cells), 'cell')} where the header has {len(header)}; "
                "a path or label with a comma needs quotes"
            )
        rows.append(_parse_row(f"{source}, line {line}", line, dict(zip(header, cells, strict=True)), required))
    if not rows:
        raise ListFileError(f"the list file {source} has a header and no videos")
    return rows


def clip_ids(source: pathlib.Path, rows: Sequence[ListRow]) -> list[str]:
    """Names each clip: its path as written, followed by its times where the video has several clips.

    Args:
      source: the list file, for the message.
      rows: from `read_rows`.

    Returns:
      A unique name for each row.

    Raises:
      ListFileError: a clip occurs twice.
    """
    clips_of_video = Counter(row.path for row in rows)
    line_of: dict[str, int] = {}
    for row in rows:
        name = row.path
        if clips_of_video[row.path] > 1 and (row.start or row.end is not None):
            name += f" {row.start or 0.0:.10g}-{'' if row.end is None else f'{row.end:.10g}'}"
        if name in line_of:
            raise ListFileError(
                f"{source}, line {row.line}: the clip {quoted(name)} is already on line {line_of[name]}; "
                "remove one of them, or give start and end where they are different parts of one video"
            )
        line_of[name] = row.line
    return list(line_of)
