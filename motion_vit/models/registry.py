"""Models by name."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from motion_vit.errors import UserError, did_you_mean
from motion_vit.models.options import (
    ADAPTER_OPTION,
    adapter_class,
    adapter_of_option,
    option_defaults,
    option_kinds,
)
from motion_vit.models.resnet import ResNet
from motion_vit.models.timesformer import TimeSformer
from motion_vit.models.uniformer import UniFormer
from motion_vit.modules.computation_dtype import computation_dtype


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
    "initialization": "fan_in",
}

_RESNET50 = {"depths": (3, 4, 6, 3), "bottleneck": True}
_SHIFT = {"temporal_shift": True}
_M2A = {"motion_module": "m2a"}
_RESNET_TINY = {"widths": (16, 32, 64, 128), "num_classes": 10, "image_size": 64}

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
    "resnet18_tsn": Preset(ResNet, {}, "ResNet-18 on every frame, averaged (TSN)"),
    "resnet18_tsm": Preset(ResNet, _SHIFT, "ResNet-18 with temporal shifts (TSM)"),
    "resnet18_m2a": Preset(ResNet, _M2A, "ResNet-18 with motion aware attention (M2A)"),
    "resnet18_m2a_tsm": Preset(ResNet, _M2A | _SHIFT, "ResNet-18 with M2A and temporal shifts"),
    "resnet50_tsn": Preset(ResNet, _RESNET50, "ResNet-50 on every frame, averaged (TSN)"),
    "resnet50_tsm": Preset(ResNet, _RESNET50 | _SHIFT, "ResNet-50 with temporal shifts (TSM)"),
    "resnet50_m2a": Preset(ResNet, _RESNET50 | _M2A, "ResNet-50 with motion aware attention (M2A)"),
    "resnet50_m2a_tsm": Preset(ResNet, _RESNET50 | _M2A | _SHIFT, "ResNet-50 with M2A and temporal shifts"),
    "resnet18_tiny": Preset(
        ResNet, _RESNET_TINY, "0.7 M parameters, for tests and demos, TSN; options make the others"
    ),
    "timesformer_s": Preset(
        TimeSformer, {"width": 384, "heads": 6}, "TimeSformer of ViT-S/16, divided space-time attention"
    ),
    "timesformer_b": Preset(TimeSformer, {}, "TimeSformer of ViT-B/16, divided space-time attention, as published"),
    "timesformer_l": Preset(
        TimeSformer,
        {"width": 1024, "depth": 24, "heads": 16},
        "TimeSformer of ViT-L/16, divided space-time attention",
    ),
    "timesformer_tiny": Preset(
        TimeSformer,
        {"width": 96, "depth": 2, "heads": 3, "num_classes": 10, "image_size": 64, "initialization": "fan_in"},
        "0.4 M parameters, for tests and demos",
    ),
}


def list_models() -> dict[str, str]:
    """The names that `create_model` accepts, each with a line of description."""
    return {name: preset.description for name, preset in _PRESETS.items()}


def create_model(name: str, /, **options: Any) -> nn.Module:
    """Builds a model by name.

    Args:
      name: one of `list_models()`.
      **options: fields of the model's class (`motion_vit.models.uniformer.UniFormer`,
        `motion_vit.models.timesformer.TimeSformer` or `motion_vit.models.resnet.ResNet`) that differ from the named
        model's. All have `num_classes`, `frames`, `image_size`, `motion_module`, `stochastic_depth`, `dtype`
        ("float32", "bfloat16" or "float16") and `remat`; `window`, `temporal_shift` and others are of some.
        `input_adapter="motion_prompt"` puts video motion prompts before the model, whose own options are the fields of
        `motion_vit.models.motion_prompted.MotionPrompted`.

    Returns:
      A Flax Linen module. `model.init(key, clips)` makes its variables, `model.apply(variables, clips, train=False)`
      its logits.

    Raises:
      UserError: an unknown name or option, or an option's value that the model refuses.
    """
    if name not in _PRESETS:
        raise UserError(f"unknown model {name!r}.{did_you_mean(name, _PRESETS)} The models are: {', '.join(_PRESETS)}.")
    preset = _PRESETS[name]
    adapter = adapter_class(options.pop(ADAPTER_OPTION, "none"))
    defaults = option_defaults(preset.model_class)
    adapter_defaults = option_defaults(adapter) if adapter else {}
    known = {**defaults, **adapter_defaults}
    for option in options:
        if option not in known:
            raise UserError(_unknown_option(name, option, [*known, ADAPTER_OPTION]))
    kinds = {**option_kinds(preset.model_class), **(option_kinds(adapter) if adapter else {})}
    values = {option: _value(option, value, known[option], kinds[option]) for option, value in options.items()}
    try:
        model = preset.model_class(
            **{**preset.options, **{option: value for option, value in values.items() if option in defaults}}
        )
        if adapter is None:
            return model
        own = {option: value for option, value in values.items() if option in adapter_defaults}
        return adapter(backbone=model, **own)
    except ValueError as error:
        raise UserError(f"model {name!r} cannot be built: {error}.") from error


def _unknown_option(name: str, option: str, known: list[str]) -> str:
    if (adapter := adapter_of_option(option)) is not None:
        return f"the option {option!r} of model {name!r} needs the option {ADAPTER_OPTION}={adapter!r} beside it."
    hint = did_you_mean(option, known)
    return f"unknown option {option!r} of model {name!r}.{hint} The options are: {', '.join(known)}."


def _value(option: str, value: Any, default: Any, kind: type) -> Any:
    """An option as the model takes it: configs hold lists for tuples, whole numbers for floats, names for dtypes."""
    if option == "dtype":
        try:
            return computation_dtype(value)
        except ValueError as error:
            raise UserError(f"{error}.") from error
    if value is None and default is None:
        return value
    if isinstance(value, list):
        value = tuple(value)
    items: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
    accepted = (float, int) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        example = "or None" if default is None else f"such as {default!r}"
        raise UserError(f"{option} is {value!r}, but must be of type {kind.__name__}, {example}.")
    if isinstance(default, tuple) and not all(_is_number_like(item, default[0]) for item in items):
        raise UserError(f"{option} is {value!r}, but must be made of numbers, such as {default!r}.")
    if any(isinstance(item, float) and not math.isfinite(item) for item in items):
        raise UserError(f"{option} is {value!r}, but must be finite.")
    return value


def _is_number_like(item: Any, example: float) -> bool:
    """Whether it is a number, and a whole one if the example is."""
    kinds = int if isinstance(example, int) else int | float
    return isinstance(item, kinds) and not isinstance(item, bool)
