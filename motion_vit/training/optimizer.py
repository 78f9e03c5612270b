"""The optimizer of the paper's recipes: AdamW, linear warm-up, cosine decay, clipping of the gradient's norm."""

from typing import Any

import numpy as np
import optax
from ml_collections import ConfigDict

from motion_vit.training import regex_rules


def learning_rate_schedule(config: ConfigDict, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """The learning rate of every step: a linear rise, then half a cosine down.

    Args:
      config: the recipe.
      steps: steps of the whole run.
      steps_per_epoch: steps of an epoch.

    Returns:
      A function from the number of the step, from 0, to its learning rate.
    """
    settings = config.optimizer
    # A recipe may warm up all the time; the last step still takes the full rate.
    warmup = min(round(settings.warmup_epochs * steps_per_epoch), steps - 1)
    rise = optax.schedules.linear_schedule(settings.warmup_start, settings.learning_rate, warmup)
    fall = optax.schedules.cosine_decay_schedule(
        settings.learning_rate, max(steps - warmup, 1), alpha=settings.final_learning_rate / settings.learning_rate
    )
    return optax.schedules.join_schedules([rise, fall], [warmup])


def decay_mask(config: ConfigDict, params: Any) -> Any:
    """Which parameters are decayed: by the recipe's patterns, else all with more than one dimension.

    Args:
      config: the recipe.
      params: parameters, or their shapes.

    Returns:
      A tree of bool.

    Raises:
      UserError: a pattern is not a regular expression.
    """
    rules = [(pattern, bool(decayed)) for pattern, decayed in config.optimizer.decay_mask]
    return regex_rules.first_match(rules, params, default=lambda _, leaf: np.ndim(leaf) > 1)


def make_optimizer(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """AdamW with decoupled weight decay.

    Args:
      config: the recipe.
      schedule: the learning rate of every step.

    Returns:
      The optimizer.
    """
    settings = config.optimizer
    adamw = optax.adamw(
        schedule,
        b1=settings.betas[0],
        b2=settings.betas[1],
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        mask=lambda params: decay_mask(config, params),
    )
    if settings.clip_norm == 0:
        return adamw
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), adamw)
