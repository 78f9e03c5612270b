"""The accuracy of a trained model, as last reported by `motion-vit evaluate` or by its training run."""

import logging
import pathlib
from typing import Any

from motion_vit.errors import UserError
from motion_vit.files.json_file import read_json
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines

_logger = logging.getLogger(__name__)

EVALUATION_FOLDER = "evaluation"
REPORT_FILE = "evaluation.json"

_REPORTED = ("top1", "top5", "videos", "data", "clips", "crops")


def reported_evaluation(folder: pathlib.Path, trained: TrainedModel) -> dict[str, Any]:
    """Looks up the reported accuracy of a trained model.

    Args:
      folder: workdir of its run, or its weights folder.
      trained: the step and the kind of weights are compared with the report.

    Returns:
      `top1`, `top5` and, if known, `videos`, `data`, `clips` and `crops`. They come from the latest report of
      `motion-vit evaluate` about this step or, without one, from the run's own validation; {} without either. `data` is
      the last name of its path, without parent folders.
    """
    reports = sorted((folder / EVALUATION_FOLDER).glob(f"*/{REPORT_FILE}"), key=lambda path: path.stat().st_mtime)
    for path in reversed(reports):
        report = _read(path)
        expected = {"step": trained.step, "ema": trained.averaged, "frame_order": "normal"}
        if expected.items() <= report.items():
            found = {name: report[name] for name in _REPORTED if name in report}
            return found | {"data": pathlib.PurePath(str(report.get("data", ""))).name}
    if trained.averaged != trained.config.evaluation.ema:
        return {}  # the run has measured the other ones
    settings = trained.config.evaluation
    views = {
        "data": pathlib.PurePath(trained.config.data.validation).name,
        "clips": settings.clips,
        "crops": settings.crops,
    }
    for record in reversed(_records(folder / METRICS_FILE)):
        if record["split"] == "validation" and record["step"] == trained.step and {"top1", "top5"} <= record.keys():
            return {"top1": record["top1"], "top5": record["top5"], **views}
    return {}


def _records(path: pathlib.Path) -> list[dict[str, float | str]]:
    try:
        return read_json_lines(path)
    except UserError as error:  # weights are no worse for a damaged log
        _logger.warning("the accuracy of the run is not known: %s", error)
        return []


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except (OSError, ValueError):  # half written: an evaluation that was stopped has reported nothing
        return {}
    if not isinstance(values, dict):
        return {}
    accuracies = (values.get(name, 0.0) for name in ("top1", "top5"))
    return values if all(type(share) in (int, float) and 0 <= share <= 1 for share in accuracies) else {}
