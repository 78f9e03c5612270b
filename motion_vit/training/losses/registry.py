"""The classification losses, by the name that the recipe field `loss.name` takes.

A loss is a function of logits and targets that gives a number for each clip. It is made, once for a run, by a function
that is registered here. Losses of another package are registered by importing it: in a recipe file, or by an entry
point of the group `motion_vit.plugins`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motion_vit.errors import UserError, did_you_mean
from motion_vit.plugins import GROUP, check_registration, load_plugins, takes
from motion_vit.ranges import Range, problems
from motion_vit.training.losses.class_weighted import class_weighted
from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.losses.evidential import evidential
from motion_vit.training.losses.focal import focal

Loss = Callable[..., Float[Array, " b"]]
"""Logits `[b, classes]` in float32 and target probabilities of that shape, which sum to 1, to the loss of each clip.

A loss that changes over training has a parameter `progress`, which it is given by this name: the share of the steps
that is done, a float32 number from 0 on that stays below 1.
"""


LossFactory = Callable[..., Loss]
"""Makes a loss for a run: `factory(clips_of_class, **options)`.

`clips_of_class` are the training clips of each class, in the order of the logits. The options are the recipe field
`loss.options`; each is a keyword argument with a default. Annotated as
`Annotated[float, Number(0, 100)]`, it states its range, see `motion_vit.ranges`. Other values that it cannot have raise
`ValueError`.
"""

_LOSSES: dict[str, LossFactory] = {
    "cross_entropy": cross_entropy,
    "class_weighted": class_weighted,
    "focal": focal,
    "evidential": evidential,
}


def register_loss(name: str, factory: LossFactory) -> None:
    """Makes a loss known by a name, which the recipe field `loss.name` then takes.

    Args:
      name: under which recipes find it.
      factory: makes the loss.

    Raises:
      UserError: the name is taken or no name, or the factory cannot be called as one is: an option has no default, or
        there is no place for `clips_of_class`.
    """
    check_registration("loss", name, factory, known=_LOSSES)
    if not takes(factory, (1, 1)):
        without = _options_without_default(factory) if inspect.isfunction(factory) else []
        problem = (
            f"its option {without[0]!r} has no default"
            if without
            else f"{factory!r} cannot be called with clips_of_class alone"
        )
        raise UserError(
            f"the loss {name!r} cannot be registered: {problem}. Give a function of the training clips of each class, "
            "whose other parameters are options with defaults, and which returns loss(logits, targets)."
        )
    _LOSSES[name] = factory


def list_losses() -> tuple[str, ...]:
    """Lists the names that the recipe field `loss.name` takes."""
    return tuple(_LOSSES)


def make_loss(name: str, options: Mapping[str, Any], clips_of_class: Sequence[int]) -> Loss:
    """Makes a loss by its name.

    Args:
      name: one of `list_losses()`.
      options: options of the loss that differ from their defaults.
      clips_of_class: training clips of each class, in the order of the logits.

    Returns:
      The loss.

    Raises:
      UserError: there is no such loss or option, an option has a value that it cannot have, or what the loss returns is
        not a number for each clip.
    """
    check_loss(name, options)
    try:
        loss = _LOSSES[name](clips_of_class, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"the loss {name!r} with loss.options {dict(options)} cannot be made: {error}.") from error
    _check_result(name, loss, classes=len(clips_of_class))
    return loss


def _check_result(name: str, loss: Any, *, classes: int) -> None:
    """Traces a loss, and refuses what it returns unless that is a floating point number for each clip."""
    clips = classes + 1  # which a loss of each class is not mistaken for
    logits = jax.ShapeDtypeStruct((clips, classes), jnp.float32)
    over_training = {"progress": jax.ShapeDtypeStruct((), jnp.float32)} if takes_progress(loss) else {}
    expected = f"must return an array [b] of floating point numbers, the loss of each of the b clips (here {clips})"
    if not takes(loss, logits, logits, **over_training):
        raise UserError(f"the loss {name!r} is made as {loss!r}, but must be loss(logits, targets), which {expected}.")
    try:
        result = jax.eval_shape(loss, logits, logits, **over_training)
    except Exception as error:  # whatever a person's own function raises
        raise UserError(
            f"the loss {name!r} fails for logits and targets [{clips}, {classes}], of which it {expected}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(result, jax.ShapeDtypeStruct):
        raise UserError(f"the loss {name!r} returns {type(result).__name__}, but {expected}.")
    if result.shape != (clips,) or not jnp.issubdtype(result.dtype, jnp.floating):
        raise UserError(f"the loss {name!r} returns {result.dtype}{list(result.shape)}, but {expected}.")


def takes_progress(loss: Any) -> bool:
    """Tells if a loss changes over training: whether it has a parameter `progress`.

    Args:
      loss: of `make_loss`, or what is no loss.
    """
    try:
        return "progress" in inspect.signature(loss).parameters
    except (TypeError, ValueError):  # it is no function, or has no signature to be read
        return False


def check_loss(name: str, options: Mapping[str, Any]) -> None:
    """Checks that there is a loss of a name with such options.

    Args:
      name: one of `list_losses()`.
      options: options of the loss that differ from their defaults.

    Raises:
      UserError: there is no such loss or option, or an option is not in its range.
    """
    if name not in _LOSSES:
        load_plugins()
    if name not in _LOSSES:
        raise UserError(
            f"config field loss.name is {name!r}, but must be one of {', '.join(_LOSSES)}."
            f"{did_you_mean(name, _LOSSES)} "
            "A loss of your own is known once the module that registers it is imported, by the recipe file or as an "
            f"entry point of the group {GROUP}."
        )
    known = _options_of(_LOSSES[name])
    unknown = [option for option in options if option not in known]
    if unknown and not _takes_any_option(_LOSSES[name]):
        raise UserError(
            f"config field loss.options.{unknown[0]} is no option of the loss {name!r}."
            f"{did_you_mean(unknown[0], known)} Its options are: {', '.join(known) or 'none'}."
        )
    ranges = {option: each for option, each in loss_option_ranges(name).items() if option in options}
    if found := problems(options, ranges):
        raise UserError(f"config field loss.options.{found[0]}.")


def all_loss_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the defaults to the options of a loss.

    Args:
      name: one of `list_losses()`.
      options: options of the loss that differ from their defaults.

    Returns:
      Every option by its name.
    """
    return _options_of(_LOSSES[name]) | dict(options)


def loss_option_ranges(name: str) -> dict[str, Range]:
    """Lists the ranges of the options of a loss: those that the factory's parameters are annotated with.

    Args:
      name: one of `list_losses()`.

    Returns:
      Option -> range, of those that state one.
    """
    annotations = {option.name: option.annotation for option in _parameters_of(_LOSSES[name])}
    return {
        option: stated[0]
        for option, annotation in annotations.items()
        if (stated := getattr(annotation, "__metadata__", ()))
    }


def _options_of(factory: LossFactory) -> dict[str, Any]:
    """Lists the options of a loss with their defaults: all parameters but the first that have names."""
    return {option.name: option.default for option in _parameters_of(factory)}


def _parameters_of(factory: LossFactory) -> list[inspect.Parameter]:
    """Lists the parameters of a loss that are options."""
    options = list(inspect.signature(factory).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [option for option in options if option.kind in named]


def _options_without_default(factory: LossFactory) -> list[str]:
    return [option for option, default in _options_of(factory).items() if default is inspect.Parameter.empty]


def _takes_any_option(factory: LossFactory) -> bool:
    """Tells if a loss hands on whatever options it is given."""
    kinds = [parameter.kind for parameter in inspect.signature(factory).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds
