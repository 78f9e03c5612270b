"""Writes CSV, which neither a spreadsheet nor a terminal runs anything of.

A cell of text that a spreadsheet would compute gets an apostrophe in front, so that `=1+1` is `'=1+1`. To read such a
cell, take off an apostrophe that stands before `=`, `+`, `-` or `@`. Numbers and other text stay as they are.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence

from motion_vit.files.atomic_file import write_text
from motion_vit.outside_text import for_csv


def csv_text(rows: Iterable[Sequence[str | int | float]], *, exact: bool = False) -> str:
    """Writes a table as text.

    Args:
      rows: its cells, row by row, the header first.
      exact: whether text is written as it is, for a list that is read again as data: its paths lead somewhere.

    Returns:
      Lines of CSV.
    """
    text = io.StringIO()
    safe = ([for_csv(cell) if isinstance(cell, str) and not exact else cell for cell in row] for row in rows)
    csv.writer(text, lineterminator="\n").writerows(safe)
    return text.getvalue()


def write_csv(path: str | os.PathLike[str], rows: Iterable[Sequence[str | int | float]]) -> None:
    """Writes a table to a file.

    Args:
      path: the file; it is replaced where it exists.
      rows: its cells, row by row, the header first.

    Raises:
      UnwritableError: it cannot be written.
    """
    write_text(path, csv_text(rows))
