"""Writes the report of an evaluation: measures, predictions, confusion matrix, calibration and the worst failures."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.files.atomic_file import make_folder, write_text
from motion_vit.training.evaluation.open_set import OpenSet
from motion_vit.training.evaluation.predictions_file import write_predictions
from motion_vit.training.evaluation.result import Evaluation


def write_report(
    evaluation: Evaluation,
    folder: pathlib.Path,
    options: ClipOptions | None = None,
    open_set: OpenSet | None = None,
    *,
    sections: Mapping[str, Any] | None = None,
) -> dict[str, pathlib.Path]:
    """Writes an evaluation to files.

    Args:
      evaluation: the result.
      folder: created if missing.
      options: how frames of videos are read for the sheet of failures; without, there is none.
      open_set: unknown videos, for a picture of their scores.
      sections: name -> further measures that the JSON gets.

    Returns:
      The files by what they are: `report` (JSON), `predictions` (CSV), `table` (CSV) and `picture` (PNG) of the
      confusion matrix, `calibration` (PNG), and, where there are any, `failures` (PNG) and `open_set` (PNG).

    Raises:
      UnwritableError: one of them cannot be written.
    """
    # Matplotlib takes half a second to import, which training need not wait for.
    from motion_vit.training.evaluation.confusion import draw_confusion, write_confusion_csv
    from motion_vit.training.evaluation.failures import draw_failures
    from motion_vit.training.evaluation.open_set_histograms import draw_open_set
    from motion_vit.training.evaluation.reliability_diagram import draw_reliability

    make_folder(folder)
    files = {
        "report": folder / "evaluation.json",
        "predictions": folder / "predictions.csv",
        "table": folder / "confusion.csv",
        "picture": folder / "confusion.png",
        "calibration": folder / "reliability.png",
    }
    write_text(files["report"], json.dumps({**evaluation.to_dict(), **(sections or {})}, indent=2) + "\n")
    write_predictions(evaluation, files["predictions"])
    write_confusion_csv(evaluation.confusion, evaluation.label_names, files["table"])
    draw_confusion(evaluation.confusion, evaluation.label_names, files["picture"])
    draw_reliability(evaluation.reliability, files["calibration"])
    if options is not None and draw_failures(evaluation, options, folder / "failures.png"):
        files["failures"] = folder / "failures.png"
    if open_set is not None:
        files["open_set"] = folder / "open_set.png"
        draw_open_set(open_set, files["open_set"])
    return files
