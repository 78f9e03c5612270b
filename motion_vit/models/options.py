"""The options of a model: those of its backbone and, where it has one, of the input adapter before it."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from motion_vit.errors import UserError
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.option import Effect, OptionTraits, option_defaults, option_traits
from motion_vit.models.video_model import VideoModel

ADAPTER_OPTION = "input_adapter"
"""The option that puts an input adapter before a backbone; its values are "none" and the names of the adapters."""

_ADAPTERS: dict[str, type[MotionPrompted]] = {MotionPrompted.input_adapter: MotionPrompted}


def adapter_class(name: str) -> type[MotionPrompted] | None:
    """Returns the class of an input adapter, None for "none".

    Args:
      name: a value of the option `input_adapter`.

    Raises:
      UserError: there is no such adapter.
    """
    if name == VideoModel.input_adapter:
        return None
    if name not in list(_ADAPTERS):  # a list, for names that are of no hashable kind
        raise UserError(f"{ADAPTER_OPTION} is {name!r}, but must be one of none, {', '.join(_ADAPTERS)}.")
    return _ADAPTERS[name]


def adapter_of_option(option: str) -> str | None:
    """Returns the input adapter that an option belongs to, or None."""
    return next((name for name, adapter in _ADAPTERS.items() if option in option_defaults(adapter)), None)


def adapter_traits() -> dict[str, OptionTraits]:
    """Lists how the library treats the options of all input adapters.

    Returns:
      Option -> traits.
    """
    return {name: traits for adapter in _ADAPTERS.values() for name, traits in option_traits(adapter).items()}


def extra_frames(options: Mapping[str, Any]) -> int:
    """Frames that clips have beyond those that the backbone sees.

    Args:
      options: options of `motion_vit.create_model`.

    Returns:
      0 without an input adapter.
    """
    adapter = options.get(ADAPTER_OPTION)
    return _ADAPTERS[adapter].extra_frames if isinstance(adapter, str) and adapter in _ADAPTERS else 0


def model_options(model: VideoModel) -> dict[str, Any]:
    """Lists every option of a model, also those that were left at their defaults, which may change.

    Args:
      model: a model of `motion_vit.create_model`.

    Returns:
      Name -> value, for JSON and for `create_model`.
    """
    own = {name: getattr(model, name) for name in option_defaults(model)}
    if model.inner is not model:
        return {**model_options(model.inner), ADAPTER_OPTION: model.input_adapter, **own}
    return {name: jnp.dtype(value).name if name == "dtype" else value for name, value in own.items()}


def model_traits(model: VideoModel) -> dict[str, OptionTraits]:
    """Lists how the library treats the options of a model and of an input adapter before it.

    Args:
      model: a model of `motion_vit.create_model`.

    Returns:
      Option -> traits.
    """
    behind = model_traits(model.inner) if model.inner is not model else {}
    return {**behind, **option_traits(model)}


def options_by_effect(model: VideoModel, *effects: Effect) -> dict[str, Any]:
    """Lists the options of a model that have certain effects.

    Args:
      model: a model of `motion_vit.create_model`.
      *effects: see `motion_vit.models.option.Effect`.

    Returns:
      Option -> default of the class.
    """
    traits = model_traits(model)
    defaults = {**option_defaults(model.inner), **option_defaults(model)}
    return {name: value for name, value in defaults.items() if traits[name].effect in effects}


def with_options(model: VideoModel, changes: Mapping[str, Any]) -> VideoModel:
    """Makes a model with other values of some options, without those that it does not have.

    Args:
      model: a model of `motion_vit.create_model`.
      changes: option -> value as the class takes it.

    Returns:
      A new module.
    """
    own = {name: value for name, value in changes.items() if name in option_defaults(model)}
    if model.inner is not model:
        own["backbone"] = with_options(model.inner, changes)
    changed: VideoModel = model.clone(**own)
    return changed
