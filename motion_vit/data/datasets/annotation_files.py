"""Reads the label files of downloaded datasets; errors name the file, the line and what was expected."""

import csv
import difflib
import io
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from motion_vit.counts import counted
from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.errors import UserError
from motion_vit.files.regular_file import read_regular_bytes

_SHOWN_NAMES = 10
_SHOWN_FILES = 4
_SHOWN_CHARACTERS = 100


class AnnotationError(UserError):
    """Error of a download; the message names the file, the line and what was expected."""


class Row(NamedTuple):
    """One entry of a label file.

    Attributes:
      where: the file and the line, or the number of the entry, for messages.
      cells: column -> text.
    """

    where: str
    cells: Mapping[str, str]


class Line(NamedTuple):
    """One line of a text file that is not empty.

    Attributes:
      where: the file and the line, for messages.
      text: the line without the white space around it.
    """

    where: str
    text: str


def shown(value: object) -> str:
    """Quotes a piece of a label file for a message, abbreviated where it is long.

    Args:
      value: any piece of the file.

    Returns:
      Its `repr`, of at most about a hundred characters.
    """
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def check_folder(source: pathlib.Path, dataset: str) -> pathlib.Path:
    """Checks that a download is there.

    Args:
      source: the folder that the dataset was downloaded to.
      dataset: its title, for the message.

    Returns:
      The folder as an absolute path.

    Raises:
      AnnotationError: there is no such folder.
    """
    if not os.path.exists(source):
        raise AnnotationError(f"the folder {source} does not exist; give the folder that {dataset} was downloaded to")
    if not os.path.isdir(source):
        raise AnnotationError(f"{source} is not a folder; give the folder that {dataset} was downloaded to")
    return source.absolute()


def first_existing(source: pathlib.Path, names: Iterable[str]) -> pathlib.Path | None:
    """Finds a file or folder that downloads name in several ways.

    Args:
      source: the folder of the download.
      names: paths below `source`, the preferred one first.

    Returns:
      The first of them that exists, or None.
    """
    return next((source / name for name in names if (source / name).exists()), None)


def find_file(source: pathlib.Path, names: Sequence[str], obtain: str) -> pathlib.Path:
    """Finds a label file that downloads name in several ways.

    Args:
      source: the folder of the download.
      names: paths below `source`, the preferred one first.
      obtain: a clause that says what the file is and where to get it, for the message.

    Returns:
      The first of them that exists.

    Raises:
      AnnotationError: None of them exists.
    """
    found = first_existing(source, names)
    if found is None:
        raise AnnotationError(f"{source} has no file {_described(names)}: {obtain}")
    return found


def _described(names: Sequence[str]) -> str:
    """Says where a file was looked for: all paths where they are few, else the file names and the folders apart."""
    if len(names) <= 2:
        return " or ".join(names)
    files = list(dict.fromkeys(pathlib.PurePath(name).name for name in names))
    folders = list(dict.fromkeys(str(pathlib.PurePath(name).parent) for name in names if "/" in name))
    text = " or ".join(files[:_SHOWN_FILES]) + (" or the like" if len(files) > _SHOWN_FILES else "")
    return text + (f", in it or in its folder {' or '.join(folders)}" if folders else "")


def read_text(path: pathlib.Path) -> str:
    """Reads a text file whole.

    Args:
      path: the file, UTF-8 with or without a byte order mark.

    Returns:
      Its text.

    Raises:
      AnnotationError: it cannot be read or is not UTF-8 text.
    """
    try:
        text = read_regular_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); download it again"
        ) from None
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror}") from None
    if "\0" in text:
        raise AnnotationError(f"{path} holds NUL characters, so it is not a text file; download it again")
    return text


def read_lines(path: pathlib.Path) -> list[Line]:
    """Reads the lines of a text file that are not empty.

    Args:
      path: the file.

    Returns:
      The lines, at least one.

    Raises:
      AnnotationError: the file cannot be read or has no line.
    """
    # Not `splitlines`, which also splits at characters that may be a part of a name.
    texts = re.split(r"\r\n|\n|\r", read_text(path))
    lines = [Line(f"{path}, line {number}", text.strip()) for number, text in enumerate(texts, 1) if text.strip()]
    if not lines:
        raise AnnotationError(f"{path} is empty; download it again")
    return lines


def read_names(path: pathlib.Path) -> tuple[str, ...]:
    """Reads a list of class names, one a line.

    Args:
      path: the file.

    Returns:
      The names, in the order of the file.

    Raises:
      AnnotationError: the file cannot be read, is empty, or names a class twice.
    """
    names: dict[str, None] = {}
    for line in read_lines(path):
        if line.text in names:
            raise AnnotationError(f"{line.where}: the class {shown(line.text)} comes a second time")
        names[line.text] = None
    return tuple(names)


def split_line(line: Line, columns: Sequence[str], delimiter: str) -> Row:
    """Splits a line of a file without a header into cells.

    Args:
      line: from `read_lines`.
      columns: names of the cells.
      delimiter: separator of the cells. It may be a part of the first cell, as a space in a path.

    Returns:
      The row.

    Raises:
      AnnotationError: the line has fewer cells, or an empty one.
    """
    cells = [cell.strip() for cell in line.text.rsplit(delimiter, len(columns) - 1)]
    if len(cells) != len(columns) or not all(cells):
        raise AnnotationError(f"{line.where}: expected {delimiter.join(columns)}, found {shown(line.text)}")
    return Row(line.where, dict(zip(columns, cells, strict=True)))


def read_table(path: pathlib.Path, columns: Sequence[str], *, delimiter: str = ",") -> list[Row]:
    """Reads a CSV file with a header.

    Args:
      path: the file.
      columns: the columns that it must have. It may have others.
      delimiter: separator of the cells.

    Returns:
      The rows, at least one, with the cells of all columns; a cell may be empty.

    Raises:
      AnnotationError: the file cannot be read, lacks a column or has no rows, or a row has too many or too few cells.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        missing = [column for column in columns if column not in header]
        if missing:
            raise AnnotationError(
                f"{path}, line 1: expected a header with the columns {delimiter.join(columns)}, found "
                f"{shown(delimiter.join(header))}"
            )
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if cells and len(cells) != len(header):
                raise AnnotationError(f"{where}: {counted(len(cells), 'cell')} where the header has {len(header)}")
            if cells:
                rows.append(Row(where, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    except csv.Error as error:
        raise AnnotationError(f"{path}, line {reader.line_num}: not a CSV table ({error})") from None
    if not rows:
        raise AnnotationError(f"{path} has a header and no rows; download it again")
    return rows


def read_json(path: pathlib.Path) -> Any:
    """Reads a JSON file.

    Args:
      path: the file.

    Returns:
      What it holds: dicts, lists, strings, numbers, booleans and None.

    Raises:
      AnnotationError: the file cannot be read or is not JSON.
    """
    text = read_text(path)
    try:
        data = json.loads(text)
        # Escapes can write the NUL character and half of a surrogate pair, which cannot be part of a file name.
        if "\\u0000" in text:
            raise ValueError("it holds the NUL character")
        if "\\ud" in text.lower():
            json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise AnnotationError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}); download it again"
        ) from None
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is not JSON that can be used ({error}); download it again") from None
    return data


def read_records(path: pathlib.Path, columns: Sequence[str]) -> list[Row]:
    """Reads a JSON file that is a list of objects.

    Args:
      path: the file.
      columns: the members that each object must have, strings or whole numbers. It may have others.

    Returns:
      The objects, at least one, with the required members as text.

    Raises:
      AnnotationError: the file cannot be read, is not such a list, or an object lacks a member.
    """
    data = read_json(path)
    expected = f"a list of objects with the members {', '.join(columns)}"
    if not isinstance(data, list) or not data:
        raise AnnotationError(f"{path}: expected {expected}, found {shown(data)}")
    rows = []
    for number, entry in enumerate(data, 1):
        where = f"{path}, entry {number}"
        if not isinstance(entry, dict):
            raise AnnotationError(f"{where}: expected {expected}, found {shown(entry)}")
        cells = {}
        for column in columns:
            value = entry.get(column)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                raise AnnotationError(
                    f"{where}: expected the member {column!r} to be text or a whole number, found {shown(value)}"
                )
            cells[column] = str(value)
        rows.append(Row(where, cells))
    return rows


def parse_number(row: Row, column: str) -> float:
    """Parses a cell as a non-negative number, such as seconds.

    Args:
      row: from any of the readers.
      column: name of the cell.

    Returns:
      The number.

    Raises:
      AnnotationError: the cell is no such number.
    """
    text = row.cells[column]
    # At most nine digits before the point: "nan", "-1" and numbers that overflow are no times and no counts.
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", text, re.ASCII):
        raise AnnotationError(f"{row.where}: expected {column} to be a number from 0 on, found {shown(text)}")
    return float(text)


def parse_index(row: Row, column: str, names: Sequence[str]) -> str:
    """Parses a cell as a class number, counted from 0.

    Args:
      row: from any of the readers.
      column: name of the cell.
      names: the names of the classes.

    Returns:
      The name of that class.

    Raises:
      AnnotationError: the cell is no number of a class.
    """
    text = row.cells[column]
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or int(text) >= len(names):
        raise AnnotationError(
            f"{row.where}: expected {column} to be a class number from 0 to {len(names) - 1}, found {shown(text)}"
        )
    return names[int(text)]


def check_clips(clips: Sequence[tuple[str, SourceClip]], label_names: Sequence[str]) -> tuple[SourceClip, ...]:
    """Checks the clips of a split: every label is a class, and every id is unique.

    Args:
      clips: the clips, each with where it is named (file and line).
      label_names: the classes.

    Returns:
      The clips.

    Raises:
      AnnotationError: a label is unknown or an id occurs twice.
    """
    classes = set(label_names)
    first: dict[str, str] = {}
    for where, clip in clips:
        if clip.label not in classes:
            near = difflib.get_close_matches(clip.label, label_names, n=3)
            some = ", ".join(label_names[:_SHOWN_NAMES]) + (", ..." if len(label_names) > _SHOWN_NAMES else "")
            raise AnnotationError(
                f"{where}: unknown label {shown(clip.label)}"
                + (f"; did you mean {' or '.join(near)}?" if near else ".")
                + f" Expected one of the {len(label_names)} classes: {some}"
            )
        if clip.id in first:
            raise AnnotationError(f"{where}: the clip {shown(clip.id)} was named before, in {first[clip.id]}")
        first[clip.id] = where
    return tuple(clip for _, clip in clips)


def absolute_path(folder: pathlib.Path, path: str) -> str:
    """Makes the absolute path of a video.

    Args:
      folder: base of a relative path.
      path: the path as a label file writes it.

    Returns:
      The path without `..` and `.`.
    """
    return os.path.normpath(folder / path)
