"""Compares two models video by video: where they differ, and whether chance explains it."""

import csv
import dataclasses
import fractions
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from motion_vit.counts import counted
from motion_vit.data.sources.list_file import read_text
from motion_vit.errors import UserError
from motion_vit.files.csv_file import write_csv
from motion_vit.outside_text import from_csv, visible
from motion_vit.training.evaluation.metrics import NO_CLASS
from motion_vit.training.evaluation.predictions_file import HEADER, PREDICTIONS_FILE
from motion_vit.training.evaluation.result import Evaluation


class ComparedVideo(NamedTuple):
    """A video and what two models took it for; "" where one gave no class."""

    video: str
    label: str
    prediction: str
    other: str


@dataclasses.dataclass(frozen=True)
class PairedComparison:
    """Counts what two models made of the same videos.

    Attributes:
      videos: every video that both have classified.
      left_out: videos that only one of them has.
    """

    videos: tuple[ComparedVideo, ...]
    left_out: int

    @property
    def differing(self) -> tuple[ComparedVideo, ...]:
        """The videos of which one is right and the other is not."""
        return tuple(one for one in self.videos if (one.prediction == one.label) != (one.other == one.label))

    @property
    def better(self) -> int:
        """The number of those that this model is right about."""
        return sum(one.prediction == one.label for one in self.differing)

    @property
    def p_value(self) -> float:
        """The probability of so uneven a division of the differing videos if both models were equally good.

        McNemar's exact test: each of them would fall to either side as a coin does.
        """
        differing = len(self.differing)
        fewer = min(self.better, differing - self.better)
        ways = sum(math.comb(differing, number) for number in range(fewer + 1))
        return min(1.0, float(fractions.Fraction(2 * ways, 2**differing)))

    def to_dict(self) -> dict[str, Any]:
        """Returns the comparison for JSON, without the single videos."""
        differing, better = len(self.differing), self.better
        return {
            "videos": len(self.videos),
            "left_out": self.left_out,
            "only_this_right": better,
            "only_other_right": differing - better,
            "p_value": self.p_value,
        }

    def __str__(self) -> str:
        """Says the comparison in a sentence or two."""
        differing, better = len(self.differing), self.better
        text = (
            f"of {counted(len(self.videos), 'video')} only this model is right about {better}, only the other about "
            f"{differing - better} (McNemar's exact test: p = {self.p_value:.2g})"
        )
        return text + (
            f"; {counted(self.left_out, 'video')} that only one of them has left out" if self.left_out else ""
        )


def compare_predictions(evaluation: Evaluation, other: Mapping[str, tuple[str, str]]) -> PairedComparison:
    """Compares an evaluation with the predictions of another model.

    Args:
      evaluation: the result of this model.
      other: label and prediction by the name of the video, of `read_predictions` or `predictions_of`.

    Returns:
      The comparison.

    Raises:
      UserError: no video is in both, or one has different labels.
    """
    this = predictions_of(evaluation)
    shared = [video for video in this if video in other]
    if not shared:
        raise UserError("the two evaluations have no video in common; compare models on the same data.")
    for video in shared:
        if this[video][0] != other[video][0]:
            raise UserError(
                f"the video {video} has the label {this[video][0]!r} here and {other[video][0]!r} in the other "
                "evaluation; compare models on the same data."
            )
    compared = (ComparedVideo(video, *this[video], other[video][1]) for video in shared)
    return PairedComparison(tuple(compared), len(this) + len(other) - 2 * len(shared))


def predictions_of(evaluation: Evaluation) -> dict[str, tuple[str, str]]:
    """Gives label and prediction of each video, as `predictions.csv` holds them.

    Args:
      evaluation: the result.

    Returns:
      Label and prediction by the name of the video; "" where there is no prediction.
    """
    names, scored = [visible(name) for name in evaluation.label_names], evaluation.scored
    predicted = ["" if number == NO_CLASS else names[number] for number in scored.predictions.tolist()]
    labels = [names[number] for number in scored.labels.tolist()]
    return dict(zip(map(visible, scored.names), zip(labels, predicted, strict=True), strict=True))


def read_predictions(place: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Reads the predictions of an earlier evaluation.

    Args:
      place: its folder, or its `predictions.csv`.

    Returns:
      As `predictions_of`.

    Raises:
      UserError: there is no such file, or it is no table of predictions.
    """
    path = place / PREDICTIONS_FILE if place.is_dir() else place
    if not path.exists():
        raise UserError(
            f"there is no {path}. Give the folder of an evaluation, which `motion-vit evaluate` writes, or its "
            f"{PREDICTIONS_FILE}."
        )
    lines = csv.reader(read_text(path).splitlines())
    try:
        header = next(lines, [])
        if tuple(header[: len(HEADER)]) != HEADER:
            raise UserError(
                f"{path} is no table of predictions: its first line must begin with {','.join(HEADER)}, as in the "
                f"{PREDICTIONS_FILE} that `motion-vit evaluate` writes."
            )
        rows = [row for row in lines if row]
    except csv.Error as error:
        raise UserError(f"{path}, line {lines.line_num}: {error}.") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UserError(f"{path}, row {number}: {counted(len(row), 'cell')}, but {len(header)} were expected.")
    named = ([from_csv(cell) for cell in row[:3]] for row in rows)
    return {video: (label, prediction) for video, label, prediction in named}


def write_comparison(comparison: PairedComparison, target: pathlib.Path) -> None:
    """Writes the videos of which one model is right and the other is not.

    Args:
      comparison: of `compare_predictions`.
      target: CSV file to write.

    Raises:
      UnwritableError: it cannot be written.
    """
    write_csv(target, [ComparedVideo._fields, *comparison.differing])
