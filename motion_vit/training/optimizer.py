"""The optimizer of the paper's recipes: AdamW, linear warm-up, cosine decay, clipping of the gradient's norm."""

import operator
from collections.abc import Sequence

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.training.regex_rules import Tree, first_match


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


def decay_mask(config: ConfigDict, params: Tree) -> Tree:
    """Which parameters are decayed: by the recipe's patterns, else all with more than one dimension.

    Args:
      config: the recipe.
      params: parameters, or their shapes.

    Returns:
      A tree of bool.

    Raises:
      UserError: a pattern is not a regular expression, or matches no parameter.
    """
    rules = config.optimizer.decay_mask
    return first_match("optimizer.decay_mask", rules, params, default=lambda _, leaf: np.ndim(leaf) > 1)


def frozen_mask(config: ConfigDict, params: Tree) -> Tree:
    """Which parameters stay as they are, by the recipe's patterns.

    Args:
      config: the recipe.
      params: parameters, or their shapes.

    Returns:
      A tree of bool.

    Raises:
      UserError: a pattern is not a regular expression or matches no parameter, or nothing is left to train.
    """
    mask = first_match("optimizer.frozen", config.optimizer.frozen, params, default=lambda *_: False)
    if all(jax.tree.leaves(mask)):
        raise UserError("config field optimizer.frozen leaves no parameter to train.")
    return mask


def learning_rate_factors(config: ConfigDict, params: Tree, layer_patterns: Sequence[str] = ()) -> Tree:
    """What the learning rate of each parameter is multiplied by.

    Layer decay is that of BEiT (Bao et al., arXiv 2106.08254): the last layer, with the head, has the full rate, and
    each layer before it `layer_decay` times the rate of the next. A multiplier of the recipe comes on top.

    Args:
      config: the recipe.
      params: parameters, or their shapes.
      layer_patterns: a pattern for the parameters of each layer, from input to output.

    Returns:
      A tree of float.

    Raises:
      UserError: a pattern is not a regular expression or matches no parameter, or layers are to differ and the model
        does not name them.
    """
    settings = config.optimizer
    rules = settings.learning_rate_multipliers
    factors = first_match("optimizer.learning_rate_multipliers", rules, params, default=lambda *_: 1.0)
    if settings.layer_decay == 1:
        return factors
    if not layer_patterns:
        raise UserError(
            f"config field optimizer.layer_decay is {settings.layer_decay}, but the model {config.model.name!r} does "
            "not say what its layers are. Set it to 1."
        )
    last = len(layer_patterns) - 1
    decays = [(pattern, settings.layer_decay ** (last - number)) for number, pattern in enumerate(layer_patterns)]
    layers = first_match("layer_patterns of the model", decays, params, default=lambda *_: 1.0)
    return jax.tree.map(operator.mul, factors, layers)


def make_optimizer(
    config: ConfigDict, schedule: optax.Schedule, params: Tree, layer_patterns: Sequence[str] = ()
) -> optax.GradientTransformation:
    """AdamW with decoupled weight decay, for the parameters that are not frozen.

    Args:
      config: the recipe.
      schedule: the learning rate of every step.
      params: parameters, or their shapes.
      layer_patterns: as for `learning_rate_factors`.

    Returns:
      The optimizer. It keeps no moments of frozen parameters.

    Raises:
      UserError: as `decay_mask`, `frozen_mask` and `learning_rate_factors`.
    """
    settings = config.optimizer
    optimizer = optax.adamw(
        schedule,
        b1=settings.betas[0],
        b2=settings.betas[1],
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        mask=decay_mask(config, params),
    )
    if settings.clip_norm:
        optimizer = optax.chain(optax.clip_by_global_norm(settings.clip_norm), optimizer)
    frozen = frozen_mask(config, params)
    if any(jax.tree.leaves(frozen)):
        optimizer = optax.selective_transform(optimizer, freeze_mask=frozen)
    factors = learning_rate_factors(config, params, layer_patterns)
    if any(factor != 1 for factor in jax.tree.leaves(factors)):
        # After AdamW, so that weight decay goes with the learning rate, as it does in big_vision.
        scale = optax.stateless(lambda updates, _: jax.tree.map(operator.mul, updates, factors))
        optimizer = optax.chain(optimizer, scale)
    return optimizer
