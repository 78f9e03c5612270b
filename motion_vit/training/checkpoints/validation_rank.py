"""Ranks checkpoints by what was measured of them in validation."""

import math
from collections.abc import Mapping
from typing import Any

from motion_vit.training.recipe.validation_metric import ValidationMetric


def validation_rank(metrics: Mapping[str, Any], metric: ValidationMetric) -> float:
    """Ranks a checkpoint; the higher, the better.

    Args:
      metrics: what was measured of it; {} if nothing was.
      metric: what counts.

    Returns:
      The accuracy, or the negative loss. What was not measured, or is not finite, ranks last.
    """
    value = metrics.get(metric)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return -math.inf
    return -float(value) if metric == "loss" else float(value)
