"""Writes the pictures that Matplotlib draws. Who imports this module waits for Matplotlib."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from motion_vit.files.atomic_file import atomic_file
from motion_vit.outside_text import visible


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a picture.

    Args:
      figure: the picture.
      path: the file, whose end names the format: `.png`, `.svg`, `.pdf`. It is replaced where it exists.

    Raises:
      UnwritableError: it cannot be written.
    """
    with literal_text(figure), atomic_file(path) as file:
        figure.savefig(file, format=pathlib.Path(path).suffix.removeprefix("."))


@contextlib.contextmanager
def literal_text(figure: Figure) -> Iterator[None]:
    """Draws the texts of a picture as they are: `$` begins no formula, and what cannot be seen is written out.

    Args:
      figure: has its texts. The labels of ticks, which Matplotlib writes anew whenever it draws, are made safe by
        `motion_vit.outside_text.for_plot` where they are given.
    """
    for text in _texts(figure):
        text.set_parse_math(False)
        if (seen := visible(text.get_text(), kept="\n")) != text.get_text():
            text.set_text(seen)
    # Of those that drawing makes.
    with matplotlib.rc_context({"text.parse_math": False}):
        yield


def _texts(artist: Artist) -> Iterator[Text]:
    """Finds the texts of a picture, but for those of axes that are off: asking for these would make their ticks."""
    for child in artist.get_children():
        if isinstance(child, Text):
            yield child
        elif not isinstance(child, Axis) or child.axes.axison:
            yield from _texts(child)
