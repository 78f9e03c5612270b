"""Exponential moving averages of the parameters, which often classify better than the parameters themselves."""

import jax
from ml_collections import ConfigDict

from motion_vit.training.step.regex_rules import Tree, first_match


def ema_decays(config: ConfigDict, params: Tree) -> Tree:
    """Returns the decay of each parameter's average in a step, by the recipe's patterns.

    Args:
      config: the recipe.
      params: parameters, or their shapes.

    Returns:
      A tree of float, 0 where no pattern matches; {} if the recipe keeps no averages.

    Raises:
      UserError: a pattern is not a regular expression, or matches no parameter.
    """
    if not config.ema:
        return {}
    return first_match("ema", config.ema, params, default=lambda *_: 0.0)


def update_ema(averages: Tree, params: Tree, decays: Tree) -> Tree:
    """Updates the averages after a step: `decay * average + (1 - decay) * parameter`.

    Args:
      averages: before the step; {} if none are kept.
      params: the parameters after the step.
      decays: of `ema_decays`.

    Returns:
      The averages.
    """
    if not decays:
        return {}
    return jax.tree.map(lambda average, value, decay: decay * average + (1 - decay) * value, averages, params, decays)
