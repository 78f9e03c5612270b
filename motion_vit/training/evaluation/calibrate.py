"""Calibrates a checkpoint: fits a temperature on held-out videos, and writes the model with it."""

import dataclasses
import json
import os
from typing import Any

import numpy as np

from motion_vit.errors import UserError
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.checkpoints.whole_folder import check_new_or_empty
from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation, evaluate_checkpoint
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.evaluation.temperature import fit_temperature, with_temperature
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.zoo.load import as_trained

CALIBRATION_FILE = "calibration.json"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A fitted temperature, and what it changes on the videos that it was fitted on.

    Attributes:
      temperature: what logits are divided by; above 1 where the model was too sure.
      evaluation: before.
      loss: negative log-likelihood afterwards.
      calibration_error: expected calibration error afterwards.
    """

    temperature: float
    evaluation: CheckpointEvaluation
    loss: float
    calibration_error: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON."""
        before = self.evaluation
        return {
            "temperature": self.temperature,
            "data": before.data,
            "videos": before.videos,
            "loss": {"before": before.loss, "after": self.loss},
            "calibration_error": {"before": before.reliability.error, "after": self.calibration_error},
        }


def calibrate_checkpoint(
    checkpoint: TrainedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    which: Which = "last",
    ema: bool | None = None,
    **views: Any,
) -> Calibration:
    """Fits a temperature on held-out videos, and writes a weights folder of the calibrated model.

    Args:
      checkpoint: as `evaluate_checkpoint` takes it.
      data: labelled videos that were not trained on.
      folder: a new or empty folder; it gets `calibration.json`, too.
      which: of a workdir, the last or the best checkpoint.
      ema: of a workdir, whether to take the averages of the parameters.
      **views: `clips`, `crops`, `batch_size` and `workers` of `evaluate_checkpoint`.

    Returns:
      The temperature, and the measures before and after.

    Raises:
      UserError: the folder is not empty, the checkpoint or the data cannot be used, or no temperature fits.
    """
    check_new_or_empty(folder)
    trained = as_trained(checkpoint, which=which, ema=ema)
    if trained_evidence(trained.config) is not None:
        raise UserError(
            "the model was trained with evidence (loss.name=evidential), whose uncertainty a temperature would change, "
            "and which is calibrated by its loss. `motion-vit evaluate` shows how well: reliability.png."
        )
    before = evaluate_checkpoint(trained, data, which=which, **views)
    scored = before.scored
    if not scored.finite.all():
        raise UserError(f"{before.warning()}. Such a model cannot be calibrated.")
    temperature = fit_temperature(scored.logits, scored.labels)
    calibrated = dataclasses.replace(
        with_temperature(trained, temperature),
        evaluation={name: value for name, value in before.to_dict().items() if name in _REPORTED},
    )
    divided = dataclasses.replace(scored, logits=np.asarray(scored.logits / temperature))
    after = Evaluation(before.label_names, divided, before.skipped, before.seconds)
    result = Calibration(temperature, before, after.loss, after.reliability.error)
    text = json.dumps(result.to_dict(), indent=2) + "\n"
    write_weights_folder(folder, calibrated, files={CALIBRATION_FILE: text})
    return result


_REPORTED = ("top1", "top5", "videos", "data", "clips", "crops")
