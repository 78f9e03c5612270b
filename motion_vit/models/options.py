"""The options of a model: those of its backbone and, where it has one, of the input adapter before it."""

import dataclasses
from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

import jax.numpy as jnp
from flax import linen as nn

from motion_vit.errors import UserError
from motion_vit.models import motion_prompted
from motion_vit.models.motion_prompted import MotionPrompted

ADAPTER_OPTION = "input_adapter"
"""The option that puts an input adapter before a backbone; its values are "none" and the names of the adapters."""

_ADAPTERS: dict[str, type[MotionPrompted]] = {"motion_prompt": MotionPrompted}
_EXTRA_FRAMES = {"motion_prompt": motion_prompted.EXTRA_FRAMES}
# Fields of a module that are no options.
_NO_OPTIONS = ("parent", "name", "backbone")


def adapter_class(name: str) -> type[MotionPrompted] | None:
    """The class of an input adapter, None for "none".

    Args:
      name: a value of the option `input_adapter`.

    Raises:
      UserError: there is no such adapter.
    """
    if name == "none":
        return None
    if name not in list(_ADAPTERS):  # a list, for names that are of no hashable kind
        raise UserError(f"{ADAPTER_OPTION} is {name!r}, but must be one of none, {', '.join(_ADAPTERS)}.")
    return _ADAPTERS[name]


def adapter_of_option(option: str) -> str | None:
    """The input adapter that an option belongs to, or None."""
    return next((name for name, adapter in _ADAPTERS.items() if option in option_defaults(adapter)), None)


def extra_frames(options: Mapping[str, Any]) -> int:
    """Frames that clips have beyond those that the backbone sees.

    Args:
      options: options of `motion_vit.create_model`.

    Returns:
      0 without an input adapter.
    """
    adapter = options.get(ADAPTER_OPTION)
    return _EXTRA_FRAMES.get(adapter, 0) if isinstance(adapter, str) else 0


def option_defaults(model_class: type[nn.Module]) -> dict[str, Any]:
    """The options of a class of models or input adapters, with their defaults."""
    return {field.name: field.default for field in dataclasses.fields(model_class) if field.name not in _NO_OPTIONS}


def option_kinds(model_class: type[nn.Module]) -> dict[str, type]:
    """The types of those options: of their defaults or, where these are None, what their annotations name beside it."""
    annotations = {field.name: field.type for field in dataclasses.fields(model_class)}
    return {
        name: _beside_none(annotations[name]) if default is None else type(default)
        for name, default in option_defaults(model_class).items()
    }


def _beside_none(annotation: Any) -> type:
    """The class of `float | None`; `object` where an annotation names none, as `Literal["a", "b"] | None`."""
    return next((kind for kind in get_args(annotation) if isinstance(kind, type) and kind is not NoneType), object)


def model_options(model: nn.Module) -> dict[str, Any]:
    """Every option of a model, also those that were left at their defaults, which may change.

    Args:
      model: a model of `motion_vit.create_model`.

    Returns:
      Name -> value, for JSON and for `create_model`.
    """
    if isinstance(model, MotionPrompted):
        adapter = next(name for name, adapter in _ADAPTERS.items() if adapter is type(model))
        own = {name: getattr(model, name) for name in option_defaults(type(model))}
        return {**model_options(model.backbone), ADAPTER_OPTION: adapter, **own}
    values = {name: getattr(model, name) for name in option_defaults(type(model))}
    return {name: jnp.dtype(value).name if name == "dtype" else value for name, value in values.items()}


CHOSEN_BY_PLATFORM: Mapping[str, None] = dict.fromkeys(
    ("cost_volume_implementation", "depthwise_implementation", "attention_implementation")
)
"""Options that name implementations, with the value by which operators choose one for the platform that they run on."""


def with_options(model: nn.Module, changes: Mapping[str, Any]) -> nn.Module:
    """A model with other values of some options, of which it leaves out those that it does not have.

    Args:
      model: a model of `motion_vit.create_model`.
      changes: option -> value as the class takes it.

    Returns:
      A new module.
    """
    own = {name: value for name, value in changes.items() if name in option_defaults(type(model))}
    if isinstance(model, MotionPrompted):
        own["backbone"] = with_options(model.backbone, changes)
    changed: nn.Module = model.clone(**own)
    return changed
