"""Writes what `predict` finds as text, JSON, lines of JSON, CSV or subtitles, to standard output or a file."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

from motion_vit.cli.subtitles import subtitles
from motion_vit.files.atomic_file import atomic_file, writing
from motion_vit.files.csv_file import csv_text
from motion_vit.files.json_text import json_text

if TYPE_CHECKING:
    from motion_vit.training.inference.prediction import Prediction
    from motion_vit.training.inference.timeline import VideoTimeline

AnswerFormat = Literal["text", "json", "jsonl", "csv", "srt", "vtt"]
"""`jsonl` is a line of JSON for each video; `srt` and `vtt` are subtitles of one timeline."""

FORMATS: tuple[AnswerFormat, ...] = get_args(AnswerFormat)

_COLUMNS = ("video", "start", "end", "label", "probability", "error", "note")
_UNKNOWN_COLUMNS = ("uncertainty", "unknown", "score", "value", "threshold")
_Row = tuple[str | float, ...]


class Answers:
    """Takes answers one by one; all but `json` are written at once.

    Args:
      write: writes a piece of text.
      form: how answers are written.
      unknown: whether rows of predictions say how uncertain they are, and which are rejected.
    """

    def __init__(self, write: Callable[[str], None], form: AnswerFormat, *, unknown: bool = False) -> None:
        self._write = write
        self._form = form
        self._unknown = unknown
        self._entries: list[dict[str, object]] = []
        if form == "csv":
            write(csv_text([(*_COLUMNS, *(_UNKNOWN_COLUMNS if unknown else ()))]))

    def add_prediction(self, prediction: "Prediction") -> None:
        """Writes a prediction, or keeps it for the document that `close` writes; there are no subtitles of one."""
        self._add(prediction, _prediction_rows(prediction, unknown=self._unknown))

    def add_timeline(self, timeline: "VideoTimeline") -> None:
        """Writes a timeline, or keeps it for the document that `close` writes."""
        if self._form == "srt" or self._form == "vtt":
            self._write(subtitles(timeline.segments, self._form))
        else:
            self._add(timeline, _timeline_rows(timeline))

    def _add(self, answer: "Prediction | VideoTimeline", rows: Iterator[_Row]) -> None:
        if self._form == "json":
            self._entries.append(answer.to_dict())
        elif self._form == "jsonl":
            self._write(json_text(answer.to_dict(), indent=None))
        elif self._form == "csv":
            self._write(csv_text(rows))
        else:
            self._write(f"{answer}\n")

    def close(self) -> None:
        """Writes what is written at the end."""
        if self._form == "json":
            self._write(json_text(self._entries))


def _prediction_rows(prediction: "Prediction", *, unknown: bool) -> Iterator[_Row]:
    """Yields a row for each class, or one for a video without any."""
    part: _Row = ("", "")
    if prediction.part:
        part = (prediction.start, "" if prediction.end is None else prediction.end)
    said: _Row = ()
    if unknown:
        verdict = prediction.verdict
        judged: _Row = ("", "", "", "")
        if verdict is not None:
            judged = (verdict.unknown, verdict.score, verdict.value, verdict.threshold)
        said = ("" if prediction.uncertainty is None else prediction.uncertainty, *judged)
    for label, probability in prediction.classes or [("", "")]:
        yield (prediction.path, *part, label, probability, prediction.failure, prediction.note, *said)


def _timeline_rows(timeline: "VideoTimeline") -> Iterator[_Row]:
    """Yields a row for each segment, and one for an error, which starts where the video could not be read."""
    for one in timeline.segments:
        yield (timeline.path, one.start, one.end, one.label, one.probability, "", timeline.note)
    if timeline.error:
        yield (timeline.path, timeline.end, "", "", "", timeline.error, timeline.note)


@contextlib.contextmanager
def open_answers(path: pathlib.Path | None, form: AnswerFormat, *, unknown: bool = False) -> Iterator[Answers]:
    """Opens the output of answers.

    A file is written whole or not at all, but for that of `jsonl`, which grows by a line with each video: what is in it
    stays if the process is killed.

    Args:
      path: the file; None for standard output.
      form: how answers are written.
      unknown: see `Answers`.

    Yields:
      The output.

    Raises:
      UnwritableError: the file cannot be written.
    """
    if path is None:
        answers = Answers(lambda text: print(text, end="", flush=True), form, unknown=unknown)
        yield answers
        answers.close()
        return
    with _growing_file(path) if form == "jsonl" else atomic_file(path) as file:

        def write(text: str) -> None:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()

        answers = Answers(write, form, unknown=unknown)
        yield answers
        answers.close()


@contextlib.contextmanager
def _growing_file(path: pathlib.Path) -> Iterator[BinaryIO]:
    with writing(path), open(path, "wb") as file:
        yield file
