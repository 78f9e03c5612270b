"""The accuracy of a trained model, as last reported by `motion-vit evaluate` or by its training run."""

import json
import pathlib
from typing import Any

from motion_vit.files.regular_file import read_regular_text
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines

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
            return found | {"data": pathlib.PurePath(report.get("data", "")).name}
    if trained.averaged != trained.config.evaluation.ema:
        return {}  # the run has measured the other ones
    settings = trained.config.evaluation
    views = {
        "data": pathlib.PurePath(trained.config.data.validation).name,
        "clips": settings.clips,
        "crops": settings.crops,
    }
    for record in reversed(read_json_lines(folder / METRICS_FILE)):
        if record.get("split") == "validation" and record.get("step") == trained.step:
            return {"top1": record["top1"], "top5": record["top5"], **views}
    return {}


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        values = json.loads(read_regular_text(path))
    except (OSError, ValueError):  # half written: an evaluation that was stopped has reported nothing
        return {}
    return values if isinstance(values, dict) else {}
