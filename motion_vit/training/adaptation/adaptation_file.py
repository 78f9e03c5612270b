"""Writes the losses of adaptation, video by video."""

import pathlib

from motion_vit.files.csv_file import write_csv
from motion_vit.training.adaptation.adapt_and_evaluate import AdaptedEvaluation

ADAPTATION_FILE = "adaptation.csv"


def write_adaptation(evaluation: AdaptedEvaluation, target: pathlib.Path) -> None:
    """Writes a line for each video in the order in which they came: its losses, and whether it was right.

    Args:
      evaluation: with adaptation.
      target: CSV file to write.

    Raises:
      UnwritableError: it cannot be written.
    """
    names = list(evaluation.losses)
    columns = [evaluation.losses[name].tolist() for name in names]
    lines = zip(
        evaluation.scored.names,
        evaluation.scored.right.astype(int).tolist(),
        evaluation.unadapted.scored.right.astype(int).tolist(),
        *columns,
        strict=True,
    )
    write_csv(target, [("video", "right", "right_unadapted", *names), *lines])
