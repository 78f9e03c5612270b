"""Writes predictions as text, JSON, lines of JSON or CSV, to standard output or a file."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

from motion_vit.cli.json_output import json_text
from motion_vit.files.atomic_file import atomic_file, writing
from motion_vit.files.csv_file import csv_text

if TYPE_CHECKING:
    from motion_vit.training.inference.prediction import Prediction

PredictionFormat = Literal["text", "json", "jsonl", "csv"]
"""`jsonl` is a line of JSON for each video."""

FORMATS: tuple[PredictionFormat, ...] = get_args(PredictionFormat)

_COLUMNS = ("video", "start", "end", "label", "probability", "error", "note")


class PredictionOutput:
    """Takes predictions one by one; all but `json` are written at once.

    Args:
      write: writes a piece of text.
      form: how predictions are written.
    """

    def __init__(self, write: Callable[[str], None], form: PredictionFormat) -> None:
        self._write = write
        self._form = form
        self._entries: list[dict[str, object]] = []
        if form == "csv":
            write(csv_text([_COLUMNS]))

    def add(self, prediction: "Prediction") -> None:
        """Writes a prediction, or keeps it for the document that `close` writes."""
        if self._form == "json":
            self._entries.append(prediction.to_dict())
        elif self._form == "jsonl":
            self._write(json_text(prediction.to_dict(), indent=None))
        elif self._form == "csv":
            self._write(csv_text(_rows(prediction)))
        else:
            self._write(f"{prediction}\n")

    def close(self) -> None:
        """Writes what is written at the end."""
        if self._form == "json":
            self._write(json_text(self._entries))


def _rows(prediction: "Prediction") -> Iterator[tuple[str | float, ...]]:
    """Yields a row for each class, or one for a video without any."""
    part: tuple[str | float, ...] = ("", "")
    if prediction.part:
        part = (prediction.start, "" if prediction.end is None else prediction.end)
    for label, probability in prediction.classes or [("", "")]:
        yield (prediction.path, *part, label, probability, prediction.failure, prediction.note)


@contextlib.contextmanager
def open_output(path: pathlib.Path | None, form: PredictionFormat) -> Iterator[PredictionOutput]:
    """Opens the output of predictions.

    A file is written whole or not at all, but for that of `jsonl`, which grows by a line with each video: what is in it
    stays if the process is killed.

    Args:
      path: the file; None for standard output.
      form: how predictions are written.

    Yields:
      The output.

    Raises:
      UnwritableError: the file cannot be written.
    """
    if path is None:
        output = PredictionOutput(lambda text: print(text, end="", flush=True), form)
        yield output
        output.close()
        return
    with _growing_file(path) if form == "jsonl" else atomic_file(path) as file:

        def write(text: str) -> None:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()

        output = PredictionOutput(write, form)
        yield output
        output.close()


@contextlib.contextmanager
def _growing_file(path: pathlib.Path) -> Iterator[BinaryIO]:
    with writing(path), open(path, "wb") as file:
        yield file
