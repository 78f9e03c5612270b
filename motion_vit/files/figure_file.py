"""Writes the pictures that Matplotlib draws. Who imports this module waits for Matplotlib."""

import os
import pathlib

from matplotlib.figure import Figure

from motion_vit.files.atomic_file import atomic_file


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a picture.

    Args:
      figure: the picture.
      path: the file, whose end names the format: `.png`, `.svg`, `.pdf`. It is replaced where it exists.

    Raises:
      UnwritableError: it cannot be written.
    """
    with atomic_file(path) as file:
        figure.savefig(file, format=pathlib.Path(path).suffix.removeprefix("."))
