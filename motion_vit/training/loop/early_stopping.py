"""Ends a run whose validation does not get better any more."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from motion_vit.counts import counted
from motion_vit.training.checkpoints.validation_rank import validation_rank
from motion_vit.training.recipe.validation_metric import ValidationMetric

# Names under which they are stored.
_METRIC = "early_stopping_metric"
_BEST = "early_stopping_best"
_WAITED = "early_stopping_waited"


@dataclasses.dataclass
class EarlyStopping:
    """Counts the evaluations since the best one.

    What it knows is stored with the metrics of a checkpoint, so that a run that is continued ends where it would have
    ended otherwise.

    Attributes:
      metric: what is to get better.
      patience: evaluations without a new best one after which the run ends; 0 never ends it.
      best: the highest rank so far, of `validation_rank`.
      waited: evaluations since.
    """

    metric: ValidationMetric
    patience: int
    best: float = -math.inf
    waited: int = 0

    def restore(self, metrics: Mapping[str, Any]) -> None:
        """Goes on from what a checkpoint's metrics hold; those of a run without early stopping hold nothing.

        Args:
          metrics: as `add` returned them; {} at the start.
        """
        best, waited = metrics.get(_BEST), metrics.get(_WAITED)
        if metrics.get(_METRIC) == self.metric and isinstance(best, int | float) and isinstance(waited, int):
            self.best, self.waited = float(best), waited

    def add(self, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Takes note of an evaluation.

        Args:
          metrics: of the validation.

        Returns:
          Them, and what is to be stored with them.
        """
        if not self.patience:
            return dict(metrics)
        rank = validation_rank(metrics, self.metric)
        self.best, self.waited = (rank, 0) if rank > self.best else (self.best, self.waited + 1)
        best = self.best if math.isfinite(self.best) else None  # JSON has no infinity
        return {**metrics, _METRIC: self.metric, _BEST: best, _WAITED: self.waited}

    @property
    def ended(self) -> bool:
        """True once the run is over."""
        return 0 < self.patience <= self.waited

    def __str__(self) -> str:
        """Says why the run is over."""
        return (
            f"stopped early: {counted(self.waited, 'evaluation')} without a better {self.metric} "
            f"(config field early_stopping.patience is {self.patience})"
        )
