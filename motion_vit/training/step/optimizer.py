"""The optimizers: AdamW and SGD as in the papers' recipes, and Muon; warm-up, decay, layer decay, clipping."""

import operator
from collections.abc import Callable, Sequence

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.training.recipe.config import OptimizerName
from motion_vit.training.step import muon
from motion_vit.training.step.regex_rules import Tree, first_match


def learning_rate_schedule(config: ConfigDict, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Makes the learning-rate schedule: a linear rise, then half a cosine down, or steps down.

    Steps down are at epochs of the run, including those of the warm-up, as for PyTorch's `MultiStepLR`.

    Args:
      config: the recipe.
      steps: number of steps of the whole run.
      steps_per_epoch: number of steps of an epoch.

    Returns:
      A function from the number of the step, from 0, to its learning rate.
    """
    settings = config.optimizer
    # A recipe may warm up all the time; the last step still takes the full rate.
    warmup = min(round(settings.warmup_epochs * steps_per_epoch), steps - 1)
    rise = optax.schedules.linear_schedule(settings.warmup_start, settings.learning_rate, warmup)
    return optax.schedules.join_schedules([rise, _fall(settings, steps - warmup, warmup, steps_per_epoch)], [warmup])


def _fall(settings: ConfigDict, steps: int, warmup: int, steps_per_epoch: float) -> optax.Schedule:
    """Makes the schedule after the warm-up, which takes `warmup` steps."""
    if settings.schedule == "step":
        places = [max(round(epoch * steps_per_epoch) - warmup, 0) for epoch in settings.decay_epochs]
        factors: dict[int, float] = {}
        for place in places:  # of several in the warm-up, all count when it is over
            factors[place] = factors.get(place, 1.0) * settings.decay_factor
        return optax.schedules.piecewise_constant_schedule(settings.learning_rate, factors)
    return optax.schedules.cosine_decay_schedule(
        settings.learning_rate, max(steps, 1), alpha=settings.final_learning_rate / settings.learning_rate
    )


def decay_mask(config: ConfigDict, params: Tree) -> Tree:
    """Selects parameters with weight decay: by the recipe's patterns, else all with more than one dimension.

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


def frozen_mask(config: ConfigDict, params: Tree, frozen_patterns: Sequence[str] = ()) -> Tree:
    """Selects frozen parameters, by the patterns of the recipe and of the model.

    Args:
      config: the recipe.
      params: parameters, or their shapes.
      frozen_patterns: patterns of parameters that the model itself freezes, whatever the recipe says.

    Returns:
      A tree of bool.

    Raises:
      UserError: a pattern is not a regular expression or matches no parameter, or nothing is left to train.
    """
    rules = [(pattern, True) for pattern in frozen_patterns]
    of_model = first_match("frozen_patterns of the model", rules, params, default=lambda *_: False)
    of_recipe = first_match("optimizer.frozen", config.optimizer.frozen, params, default=lambda *_: False)
    mask = jax.tree.map(operator.or_, of_model, of_recipe)
    if all(jax.tree.leaves(mask)):
        raise UserError("config field optimizer.frozen leaves no parameter to train.")
    return mask


def learning_rate_factors(config: ConfigDict, params: Tree, layer_patterns: Sequence[str] = ()) -> Tree:
    """Returns the factor of each parameter's learning rate.

    Layer decay follows BEiT (Bao et al., arXiv 2106.08254): the last layer, with the head, has the full rate, and each
    layer before it has `layer_decay` times the rate of the next. Multipliers of the recipe apply on top.

    Args:
      config: the recipe.
      params: parameters, or their shapes.
      layer_patterns: a pattern for the parameters of each layer, from input to output.

    Returns:
      A tree of float.

    Raises:
      UserError: a pattern is not a regular expression or matches no parameter, or layer decay is on and the model does
        not name its layers.
    """
    settings = config.optimizer
    rules = settings.learning_rate_multipliers
    factors = first_match("optimizer.learning_rate_multipliers", rules, params, default=lambda *_: 1.0)
    if settings.layer_decay == 1:
        return factors
    if not layer_patterns:
        raise UserError(
            f"config field optimizer.layer_decay is {settings.layer_decay}, but the model {config.model.name!r} does "
            "not say what its layers are. Set it to 1, or define the method layer_patterns of the model's class."
        )
    last = len(layer_patterns) - 1
    decays = [(pattern, settings.layer_decay ** (last - number)) for number, pattern in enumerate(layer_patterns)]
    layers = first_match("layer_patterns of the model", decays, params, default=lambda *_: 1.0)
    return jax.tree.map(operator.mul, factors, layers)


def make_optimizer(
    config: ConfigDict,
    schedule: optax.Schedule,
    params: Tree,
    *,
    layer_patterns: Sequence[str] = (),
    frozen_patterns: Sequence[str] = (),
) -> optax.GradientTransformation:
    """Makes the recipe's optimizer, for the parameters that are not frozen.

    AdamW decouples weight decay from the gradient (arXiv 1711.05101). SGD adds the decay to the gradient, and so to the
    momentum: `v = momentum * v + gradient + weight_decay * parameter`, `parameter -= learning_rate * v`. Muon updates
    the kernels of hidden layers, and AdamW the other parameters; both decay as AdamW does.

    Args:
      config: the recipe.
      schedule: the learning rate of every step.
      params: parameters, or their shapes.
      layer_patterns: as for `learning_rate_factors`.
      frozen_patterns: as for `frozen_mask`.

    Returns:
      The optimizer. It keeps no moments of frozen parameters.

    Raises:
      UserError: as `decay_mask`, `frozen_mask` and `learning_rate_factors`.
    """
    settings = config.optimizer
    optimizer = _OPTIMIZERS[settings.name](config, schedule, params)
    if settings.clip_norm:
        optimizer = optax.chain(optax.clip_by_global_norm(settings.clip_norm), optimizer)
    frozen = frozen_mask(config, params, frozen_patterns)
    if any(jax.tree.leaves(frozen)):
        optimizer = optax.selective_transform(optimizer, freeze_mask=frozen)
    factors = learning_rate_factors(config, params, layer_patterns)
    if any(factor != 1 for factor in jax.tree.leaves(factors)):
        # After the optimizer, so that weight decay goes with the learning rate, as it does in big_vision.
        scale = optax.stateless(lambda updates, _: jax.tree.map(operator.mul, updates, factors))
        optimizer = optax.chain(optimizer, scale)
    return optimizer


def _adamw(config: ConfigDict, schedule: optax.Schedule, params: Tree) -> optax.GradientTransformation:
    settings = config.optimizer
    return optax.adamw(
        schedule,
        b1=settings.betas[0],
        b2=settings.betas[1],
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        mask=decay_mask(config, params),
    )


def _sgd(config: ConfigDict, schedule: optax.Schedule, params: Tree) -> optax.GradientTransformation:
    settings = config.optimizer
    return optax.chain(
        optax.add_decayed_weights(settings.weight_decay, mask=decay_mask(config, params)),
        optax.sgd(schedule, momentum=settings.momentum, nesterov=settings.nesterov),
    )


def _muon(config: ConfigDict, schedule: optax.Schedule, params: Tree) -> optax.GradientTransformation:
    settings = config.optimizer
    counts = muon.matrices(settings.muon.matrices, params)
    orthogonal = optax.chain(
        muon.scale_by_orthogonal_momentum(counts, settings.muon.momentum),
        optax.add_decayed_weights(settings.weight_decay, mask=decay_mask(config, params)),
        optax.scale_by_learning_rate(schedule),
    )
    of_parameter = jax.tree.map(lambda count: "muon" if count else "adamw", counts)
    return optax.partition({"muon": orthogonal, "adamw": _adamw(config, schedule, params)}, of_parameter)


_OPTIMIZERS: dict[OptimizerName, Callable[[ConfigDict, optax.Schedule, Tree], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "sgd": _sgd,
    "muon": _muon,
}
