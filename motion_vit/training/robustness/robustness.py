"""Evaluates a checkpoint on corrupted videos, for each corruption and severity."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.errors import UserError
from motion_vit.training.adaptation.adapt_and_evaluate import AdaptedEvaluation, Adapter, check_several_classes
from motion_vit.training.adaptation.options import AdaptationOptions
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation, evaluate_checkpoint
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.parallel import mesh as meshes
from motion_vit.zoo.load import as_trained


@dataclasses.dataclass(frozen=True, eq=False)
class CorruptedResult:
    """The accuracy on videos of one corruption and severity.

    Attributes:
      corruption: its name; "" for the videos as they are.
      severity: from 1 to 5; 0 for the videos as they are.
      plain: the checkpoint as it is.
      adapted: with adaptation, or None.
    """

    corruption: str
    severity: int
    plain: Evaluation
    adapted: Evaluation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON, without single classes and videos."""
        adapted = {} if self.adapted is None else {"adapted": _measures(self.adapted)}
        return {"corruption": self.corruption, "severity": self.severity, **_measures(self.plain), **adapted}


def _measures(evaluation: Evaluation) -> dict[str, Any]:
    names = ("videos", "top1", "top1_interval", "mean_class", "loss", "calibration_error")
    measured = evaluation.to_dict()
    return {name: measured[name] for name in names}


@dataclasses.dataclass(frozen=True, eq=False)
class Robustness:
    """Accuracies of a checkpoint on videos as they are and on corrupted ones.

    Attributes:
      clean: the result on the videos as they are.
      corrupted: the others, corruption by corruption, severities rising.
      seed: what the draws of corruptions depend on.
      adaptation: options of the adaptation, or None without.
    """

    clean: CorruptedResult
    corrupted: tuple[CorruptedResult, ...]
    seed: int = 0
    adaptation: AdaptationOptions | None = None

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of the corruptions, in order."""
        return tuple(dict.fromkeys(result.corruption for result in self.corrupted))

    @property
    def severities(self) -> tuple[int, ...]:
        """Severities, rising."""
        return tuple(sorted({result.severity for result in self.corrupted}))

    def mean_top1(self, severity: int | None = None, *, adapted: bool = False) -> float:
        """Returns the mean of top-1 over corruptions.

        Args:
          severity: one of them, or None for the mean over all of them, too.
          adapted: whether that with adaptation.
        """
        chosen = (result for result in self.corrupted if severity in (None, result.severity))
        return float(np.mean([_top1(result, adapted=adapted) for result in chosen]))

    def to_dict(self) -> dict[str, Any]:
        """Returns the results for JSON."""
        kinds = [("mean", False), *([("mean_adapted", True)] if self.adaptation else [])]
        means = {
            name: {
                "all": self.mean_top1(adapted=adapted),
                **{str(each): self.mean_top1(each, adapted=adapted) for each in self.severities},
            }
            for name, adapted in kinds
        }
        return {
            "seed": self.seed,
            "adaptation": None if self.adaptation is None else dataclasses.asdict(self.adaptation),
            "clean": self.clean.to_dict(),
            **means,
            "corrupted": [result.to_dict() for result in self.corrupted],
        }


def _top1(result: CorruptedResult, *, adapted: bool) -> float:
    return result.adapted.top1 if adapted and result.adapted is not None else result.plain.top1


def evaluate_robustness(
    checkpoint: TrainedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    corruptions: Sequence[str],
    severities: Sequence[int],
    *,
    clean: CheckpointEvaluation | None = None,
    adapter: Adapter | None = None,
    seed: int = 0,
    which: Which = "last",
    ema: bool | None = None,
    batch_size: int | None = None,
    told: Callable[[CorruptedResult], None] = lambda result: None,
    **views: Any,
) -> Robustness:
    """Measures the accuracy of a checkpoint on corrupted videos. Every corruption starts with the checkpoint anew.

    Args:
      checkpoint: as of `evaluate_checkpoint`.
      data: likewise.
      corruptions: names, see `motion_vit.data.corruptions.corruption`.
      severities: from 1 to 5.
      clean: the result on the videos as they are, where it is known already.
      adapter: of the same checkpoint; the adapted model is then measured beside it, one video after the other.
      seed: another one draws other noise, directions and drops.
      which: as of `evaluate_checkpoint`.
      ema: likewise.
      batch_size: likewise.
      told: called with each result as soon as it is there.
      **views: `clips`, `crops`, `frame_order` and `workers` of `evaluate_checkpoint`.

    Returns:
      The results.

    Raises:
      UserError: no corruption or severity is given, or there is no such one; the model knows a single class; or as
        `evaluate_checkpoint`.
    """
    chosen = [Corruption(name, severity, seed) for name in corruptions for severity in sorted(severities)]
    if not chosen:
        raise UserError("no corruption or no severity is given; give at least one of each.")
    trained = adapter.trained if adapter else as_trained(checkpoint, which=which, ema=ema, mesh=meshes.data_mesh())
    check_several_classes(trained)

    def measure(corruption: Corruption | None) -> CheckpointEvaluation:
        if adapter is not None:
            return adapter.evaluate(data, which=which, corruption=corruption, **views)
        return evaluate_checkpoint(trained, data, which=which, batch_size=batch_size, corruption=corruption, **views)

    known = _result(clean or measure(None), None)
    told(known)
    results = []
    for corruption in chosen:
        results.append(_result(measure(corruption), corruption))
        told(results[-1])
    return Robustness(known, tuple(results), seed, adapter.options if adapter else None)


def _result(evaluation: CheckpointEvaluation, corruption: Corruption | None) -> CorruptedResult:
    name, severity = ("", 0) if corruption is None else (corruption.name, corruption.severity)
    if isinstance(evaluation, AdaptedEvaluation):
        return CorruptedResult(name, severity, evaluation.unadapted, evaluation)
    return CorruptedResult(name, severity, evaluation)
