"""The classification losses, by the name that the recipe field `loss.name` takes.

A loss is a function of logits and targets that gives a number for each clip. It is made, once for a run, by a function
that is registered here. Losses of another package are registered by importing it: in a recipe file, or by an entry
point of the group `motion_vit.plugins`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxtyping import Array, Float

from motion_vit.errors import UserError, did_you_mean
from motion_vit.plugins import GROUP, is_redefinition, load_plugins
from motion_vit.ranges import Range, problems
from motion_vit.training.losses.class_weighted import class_weighted
from motion_vit.training.losses.cross_entropy import cross_entropy
from motion_vit.training.losses.focal import focal

Loss = Callable[[Float[Array, "b classes"], Float[Array, "b classes"]], Float[Array, " b"]]
"""Logits in float32 and target probabilities, which sum to 1, to the loss of each clip."""


LossFactory = Callable[..., Loss]
"""Makes a loss for a run: `factory(clips_of_class, **options)`.

`clips_of_class` are the training clips of each class, in the order of the logits. The options are the recipe field
`loss.options`; each is a keyword argument with a default. Annotated as
`Annotated[float, Number(0, 100)]`, it states its range, see `motion_vit.ranges`. Other values that it cannot have raise
`ValueError`.
"""

_LOSSES: dict[str, LossFactory] = {"cross_entropy": cross_entropy, "class_weighted": class_weighted, "focal": focal}


def register_loss(name: str, factory: LossFactory) -> None:
    """Makes a loss known by a name, which the recipe field `loss.name` then takes.

    Args:
      name: under which recipes find it.
      factory: makes the loss.

    Raises:
      ValueError: another loss has the name, or an option of the factory has no default.
    """
    if name in _LOSSES and not is_redefinition(_LOSSES[name], factory):
        raise ValueError(f"there is another loss called {name!r}: choose another name.")
    without = [option for option, default in _options_of(factory).items() if default is inspect.Parameter.empty]
    if without:
        raise ValueError(f"the option {without[0]!r} of the loss {name!r} has no default: give it one.")
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
      UserError: there is no such loss or option, or an option has a value that it cannot have.
    """
    check_loss(name, options)
    try:
        return _LOSSES[name](clips_of_class, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"the loss {name!r} with loss.options {dict(options)} cannot be made: {error}.") from error


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
    if unknown := [option for option in options if option not in known]:
        raise UserError(
            f"config field loss.options.{unknown[0]} is no option of the loss {name!r}."
            f"{did_you_mean(unknown[0], known)} Its options are: {', '.join(known) or 'none'}."
        )
    ranges = {option: each for option, each in loss_option_ranges(name).items() if option in options}
    if found := problems(options, ranges):
        raise UserError(f"config field loss.options.{found[0]}.")


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
    """Lists the options of a loss with their defaults: all parameters but the first."""
    return {option.name: option.default for option in _parameters_of(factory)}


def _parameters_of(factory: LossFactory) -> list[inspect.Parameter]:
    """Lists the parameters of a loss that are options."""
    return list(inspect.signature(factory).parameters.values())[1:]
