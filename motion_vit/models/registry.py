"""Models by name."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from motion_vit.errors import UserError
from motion_vit.models.uniformer import UniFormer


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named model: its class, the options that make it, and what it is in a line."""

    model_class: type[nn.Module]
    options: Mapping[str, Any]
    description: str


_SMALL = {"widths": (64, 128, 320, 512), "depths": (3, 4, 8, 3)}
_BASE = {"widths": (64, 128, 320, 512), "depths": (5, 8, 20, 7)}
_TINY = {
    "widths": (32, 64, 96, 128),
    "depths": (1, 1, 2, 2),
    "head_channels": 32,
    "num_classes": 10,
    "image_size": 64,
}

_PRESETS = {
    "uniformer_s": Preset(
        UniFormer, _SMALL | {"placement": "gg"}, "UniFormer-S without motion attention, all frames kept"
    ),
    "uniformer_b": Preset(
        UniFormer, _BASE | {"placement": "gg"}, "UniFormer-B without motion attention, all frames kept"
    ),
    "uniformer_emim_s": Preset(UniFormer, _SMALL, "UniFormer-S, every second attention is EMIM"),
    "uniformer_emim_b": Preset(UniFormer, _BASE, "UniFormer-B, every second attention is EMIM"),
    "uniformer_tiny": Preset(
        UniFormer, _TINY | {"placement": "gg"}, "0.8 M parameters, for tests and demos, without EMIM"
    ),
    "uniformer_emim_tiny": Preset(UniFormer, _TINY, "0.8 M parameters, for tests and demos, with EMIM"),
}


def list_models() -> dict[str, str]:
    """The names that `create_model` accepts, each with a line of description."""
    return {name: preset.description for name, preset in _PRESETS.items()}


def create_model(name: str, /, **options: Any) -> nn.Module:
    """Builds a model by name.

    Args:
      name: one of `list_models()`.
      **options: fields of the model class (`motion_vit.models.uniformer.UniFormer`) that differ from the named model's,
        such as `num_classes`, `frames`, `window`, `placement`, `stochastic_depth`, `dtype` ("bfloat16" or a dtype) or
        `remat`.

    Returns:
      A Flax Linen module. `model.init(key, clips)` makes its variables, `model.apply(variables, clips, train=False)`
      its logits.

    Raises:
      UserError: an unknown name or option, or an option's value that the model refuses.
    """
    if name not in _PRESETS:
        raise UserError(f"unknown model {name!r}.{_suggestion(name, _PRESETS)} The models are: {', '.join(_PRESETS)}.")
    preset = _PRESETS[name]
    known = [field.name for field in dataclasses.fields(preset.model_class) if field.name not in ("parent", "name")]
    for option in options:
        if option not in known:
            raise UserError(
                f"unknown option {option!r} of model {name!r}.{_suggestion(option, known)} "
                f"The options are: {', '.join(known)}."
            )
    defaults = {field.name: field.default for field in dataclasses.fields(preset.model_class)}
    values = {option: _value(option, value, defaults[option]) for option, value in options.items()}
    try:
        return preset.model_class(**{**preset.options, **values})
    except ValueError as error:
        raise UserError(f"model {name!r} cannot be built: {error}.") from error


def _value(option: str, value: Any, default: Any) -> Any:
    """An option as the model takes it: configs hold lists for tuples, whole numbers for floats, names for dtypes."""
    if option == "dtype":
        try:
            return jnp.dtype(value)
        except TypeError as error:
            raise UserError(f"dtype is {value!r}, but must name a dtype such as 'float32' or 'bfloat16'.") from error
    if isinstance(value, list):
        value = tuple(value)
    accepted = (float, int) if isinstance(default, float) else type(default)
    wrong_kind = not isinstance(value, accepted) or (isinstance(value, bool) and not isinstance(default, bool))
    if default is not None and wrong_kind:
        raise UserError(f"{option} is {value!r}, but must be of type {type(default).__name__}, such as {default!r}.")
    return value


def _suggestion(given: str, known: Mapping[str, Any] | list[str]) -> str:
    matches = difflib.get_close_matches(given, list(known), n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""
