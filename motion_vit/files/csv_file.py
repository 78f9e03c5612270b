"""Writes CSV files."""

import csv
import io
import os
from collections.abc import Iterable, Sequence

from motion_vit.files.atomic_file import write_text


def write_csv(path: str | os.PathLike[str], rows: Iterable[Sequence[str | int | float]]) -> None:
    """Writes a table.

    Args:
      path: the file; it is replaced where it exists.
      rows: its cells, row by row, the header first.

    Raises:
      UnwritableError: it cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())
