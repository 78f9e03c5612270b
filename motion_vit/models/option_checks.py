"""Checks of the options of any model; each mistake is a sentence that says what was expected."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from flax import linen as nn

from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.modules.motion_module import is_motion_module, motion_module_names


def outside_choices(model: nn.Module, choices: Mapping[str, Any]) -> list[str]:
    """Options that are none of their choices.

    Args:
      model: whose options are checked.
      choices: option -> the `Literal` type of its values.
    """
    return [
        f"{name} is {getattr(model, name)!r}, but must be one of {', '.join(get_args(choice))}"
        for name, choice in choices.items()
        if getattr(model, name) not in get_args(choice)
    ]


def unknown_implementations(model: nn.Module, known: Mapping[str, Sequence[str]]) -> list[str]:
    """Options that name no implementation of an operator.

    Args:
      model: whose options are checked.
      known: option -> the names that its operator accepts, beside None.
    """
    return [
        f"{name} is {getattr(model, name)!r}, but must be None, which has one chosen, or one of {', '.join(names)}"
        for name, names in known.items()
        if getattr(model, name) is not None and getattr(model, name) not in names
    ]


def below_one(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Options that must be 1 or more and are not."""
    return [f"{name} is {getattr(model, name)}, but must be at least 1" for name in names if getattr(model, name) < 1]


def not_above_zero(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Options that must be finite numbers above 0 and are not."""
    return [
        f"{name} is {getattr(model, name)}, but must be a number above 0"
        for name in names
        if not 0 < getattr(model, name) < math.inf
    ]


def not_one_a_stage(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Options that must hold a positive number for each of four stages and do not."""
    return [
        f"{name} is {getattr(model, name)}, but must be four positive numbers, one a stage"
        for name in names
        if len(getattr(model, name)) != 4 or any(size < 1 for size in getattr(model, name))
    ]


def no_probability_below_one(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Options that must be the probability of dropping something and are not."""
    return [
        f"{name} is {getattr(model, name)}, but must be a probability below 1"
        for name in names
        if not 0 <= getattr(model, name) < 1
    ]


def unknown_motion_module(name: str) -> list[str]:
    """Names the option `motion_module`, if no such module is known."""
    if is_motion_module(name):
        return []
    return [f"motion_module is {name!r}, but must be one of {', '.join(motion_module_names())}"]


def window_without_centre(window: int) -> list[str]:
    """Names the window of cost-volume attention, if it has no place for the query."""
    return [] if window >= 1 and window % 2 else [f"window is {window}, but must be odd: it is centred on the query"]


def no_computation_dtype(dtype: Any) -> list[str]:
    """Names the option `dtype`, if nothing can be computed in it."""
    try:
        computation_dtype(dtype)
    except ValueError as error:
        return [str(error)]
    return []
