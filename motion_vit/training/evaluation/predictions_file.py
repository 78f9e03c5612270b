"""The table of an evaluation's predictions, a line a video, which spreadsheets and other evaluations read."""

import pathlib
from collections.abc import Iterator

from motion_vit.files.csv_file import write_csv
from motion_vit.training.evaluation.metrics import NO_CLASS
from motion_vit.training.evaluation.result import Evaluation

PREDICTIONS_FILE = "predictions.csv"

HEADER = ("video", "label", "prediction", "views", "decode_seconds")
"""The columns before those of probabilities, each of which is called after its class."""


def write_predictions(evaluation: Evaluation, target: pathlib.Path) -> None:
    """Writes a line for each video: its class, the predicted one, and the probability of every class.

    Probabilities are the softmax of the mean logits of the views. Where logits are not finite, the prediction and the
    probabilities are empty.

    Args:
      evaluation: the result.
      target: CSV file to write.

    Raises:
      UnwritableError: it cannot be written.
    """
    write_csv(target, _rows(evaluation))


def _rows(evaluation: Evaluation) -> Iterator[list[str | int | float]]:
    names, scored = evaluation.label_names, evaluation.scored
    yield [*HEADER, *names]
    probabilities = scored.probabilities
    for number, video in enumerate(scored.names):
        predicted = int(scored.predictions[number])
        known = predicted != NO_CLASS
        yield [
            video,
            names[int(scored.labels[number])],
            names[predicted] if known else "",
            scored.views,
            float(f"{scored.decode_seconds[number]:.3g}"),
            *(float(f"{value:.6g}") if known else "" for value in probabilities[number].tolist()),
        ]
