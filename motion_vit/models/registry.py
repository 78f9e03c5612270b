"""Models by name."""

import contextlib
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from motion_vit.errors import UserError, did_you_mean
from motion_vit.models.inception_i3d import InceptionI3D
from motion_vit.models.mobilenetv2 import MobileNetV2
from motion_vit.models.mvit import MViT
from motion_vit.models.option import option_defaults
from motion_vit.models.options import ADAPTER_OPTION, adapter_class, adapter_of_option
from motion_vit.models.resnet import ResNet
from motion_vit.models.slowfast import SlowFast
from motion_vit.models.timesformer import TimeSformer
from motion_vit.models.uniformer import UniFormer
from motion_vit.models.video_model import Backbone, VideoModel
from motion_vit.models.video_resnet import VideoResNet
from motion_vit.models.video_swin import VideoSwin
from motion_vit.models.videomae import VideoMAE
from motion_vit.models.vivit import ViViT
from motion_vit.models.x3d import X3D, scaled_depths
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.plugins import GROUP, check_registration, load_plugins, takes


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named model: its class, the options that make it, and what it is in a line."""

    model_class: type[Backbone]
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

_VIT_L = {"width": 1024, "depth": 24, "heads": 16}
_FACTORISED_ENCODER = {"attention": "factorised_encoder"}

_VIDEO_RESNET = {"frames": 16, "image_size": 112}
_MIXED = {"convolutions": "mixed", "temporal_stride": False}
_I3D_RESNET = {"max_pool": True, "head_per_frame": True}

_ONE_PATHWAY = {"fast_pathway": False, "frames": 8}

_PRESETS: dict[str, Preset] = {
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
    "mobilenetv2_tsn": Preset(MobileNetV2, {}, "MobileNetV2 on every frame, averaged (TSN)"),
    "mobilenetv2_tsm": Preset(MobileNetV2, _SHIFT, "MobileNetV2 with temporal shifts (TSM)"),
    "mobilenetv2_m2a": Preset(MobileNetV2, _M2A, "MobileNetV2 with motion aware attention (M2A)"),
    "mobilenetv2_tiny": Preset(
        MobileNetV2,
        {
            **{"width": 0.25, "depths": (1, 2, 2, 2, 1, 2, 1), "last_width": 256},
            **{"num_classes": 10, "image_size": 64},
        },
        "0.1 M parameters, for tests and demos, TSN; options make the others",
    ),
    "slowfast_4x16_r50": Preset(SlowFast, {}, "SlowFast of ResNet-50, 4 slow and 32 fast frames"),
    "slowfast_8x8_r50": Preset(
        SlowFast, {"frame_ratio": 4, "lateral_kernel": 7}, "SlowFast of ResNet-50, 8 slow and 32 fast frames"
    ),
    "slow_8x8_r50": Preset(SlowFast, _ONE_PATHWAY, "the Slow pathway alone: ResNet-50, late stages over time"),
    "c2d_8x8_r50": Preset(
        SlowFast,
        _ONE_PATHWAY | {"temporal_convolutions": "none", "temporal_pool": True},
        "ResNet-50 on every frame, frames pooled in pairs (C2D)",
    ),
    "i3d_8x8_r50": Preset(
        SlowFast,
        _ONE_PATHWAY | {"temporal_convolutions": "alternating", "temporal_pool": True},
        "ResNet-50 inflated over time (I3D)",
    ),
    "slowfast_tiny": Preset(
        SlowFast,
        _RESNET_TINY | {"depths": (1, 1, 1, 1), "frames": 8, "frame_ratio": 4, "channel_ratio": 2},
        "1.3 M parameters, for tests and demos, SlowFast; options make the others",
    ),
    "i3d_inception_16": Preset(InceptionI3D, {"frames": 16}, "Inception-V1 inflated over time (I3D), 16 frames"),
    "i3d_inception_64": Preset(InceptionI3D, {}, "Inception-V1 inflated over time (I3D), 64 frames, as published"),
    "i3d_inception_tiny": Preset(
        InceptionI3D,
        {"width": 16, "frames": 16, "num_classes": 10, "image_size": 64},
        "0.8 M parameters, for tests and demos",
    ),
    "x3d_xs": Preset(X3D, {"frames": 4, "image_size": 160}, "X3D-XS: channels convolved one by one, 4 frames"),
    "x3d_s": Preset(X3D, {"frames": 13, "image_size": 160}, "X3D-S: channels convolved one by one, 13 frames"),
    "x3d_m": Preset(X3D, {}, "X3D-M: channels convolved one by one, 16 frames"),
    "x3d_l": Preset(
        X3D, {"depths": scaled_depths(5.0), "image_size": 312}, "X3D-L: twice as deep, 16 frames of 312 x 312 pixels"
    ),
    "x3d_tiny": Preset(
        X3D,
        {
            **{"depths": scaled_depths(0.5), "head_features": 128},
            **{"frames": 4, "num_classes": 10, "image_size": 64},
        },
        "0.7 M parameters, for tests and demos",
    ),
    "r3d_18": Preset(VideoResNet, _VIDEO_RESNET, "ResNet-18 of 3D convolutions (R3D)"),
    "mc3_18": Preset(VideoResNet, _VIDEO_RESNET | _MIXED, "ResNet-18, 3D convolutions in the first stage (MC3)"),
    "r2plus1d_18": Preset(
        VideoResNet,
        _VIDEO_RESNET | {"convolutions": "2plus1d"},
        "ResNet-18 of convolutions in space, then time: R(2+1)D",
    ),
    "i3d_resnet18": Preset(VideoResNet, _I3D_RESNET, "ResNet-18 inflated over time (I3D), the backbone of M2A's paper"),
    "i3d_resnet18_m2a": Preset(
        VideoResNet, _I3D_RESNET | _M2A, "ResNet-18 inflated over time (I3D) with motion aware attention (M2A)"
    ),
    "r2plus1d_tiny": Preset(
        VideoResNet,
        _RESNET_TINY | {"depths": (1, 1, 1, 1), "convolutions": "2plus1d"},
        "0.8 M parameters, for tests and demos, R(2+1)D; options make R3D and MC3",
    ),
    "i3d_resnet18_tiny": Preset(
        VideoResNet, _RESNET_TINY | _I3D_RESNET, "2.1 M parameters, for tests and demos, I3D; options make M2A"
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
    "videomae_s": Preset(VideoMAE, {"width": 384, "heads": 6}, "the ViT-S/16 of VideoMAE, on tubelets of 2 frames"),
    "videomae_b": Preset(VideoMAE, {}, "the ViT-B/16 of VideoMAE, on tubelets of 2 frames"),
    "videomae_l": Preset(
        VideoMAE, {"width": 1024, "depth": 24, "heads": 16}, "the ViT-L/16 of VideoMAE, on tubelets of 2 frames"
    ),
    "videomae_h": Preset(
        VideoMAE, {"width": 1280, "depth": 32, "heads": 16}, "the ViT-H/16 of VideoMAE, on tubelets of 2 frames"
    ),
    "videomae_g": Preset(
        VideoMAE,
        {"width": 1408, "depth": 40, "heads": 16, "patch_size": 14, "mlp_ratio": 48 / 11},
        "the ViT-g/14 of VideoMAE V2, on tubelets of 2 frames",
    ),
    "videomae_tiny": Preset(
        VideoMAE,
        {
            **{"width": 96, "depth": 2, "heads": 3, "frames": 8},
            **{"num_classes": 10, "image_size": 64, "initialization": "fan_in"},
        },
        "0.4 M parameters, for tests and demos",
    ),
    "video_swin_t": Preset(VideoSwin, {}, "Video Swin-T, attention within shifted windows"),
    "video_swin_s": Preset(VideoSwin, {"depths": (2, 2, 18, 2)}, "Video Swin-S, attention within shifted windows"),
    "video_swin_b": Preset(
        VideoSwin, {"width": 128, "depths": (2, 2, 18, 2)}, "Video Swin-B, attention within shifted windows"
    ),
    "video_swin_tiny": Preset(
        VideoSwin,
        {
            **{"width": 32, "depths": (2, 2, 2), "frames": 8},
            **{"num_classes": 10, "image_size": 64, "initialization": "fan_in"},
        },
        "0.6 M parameters, for tests and demos",
    ),
    "mvit_v2_s": Preset(MViT, {}, "MViTv2-S, attention pooled from stage to stage"),
    "mvit_v2_b": Preset(MViT, {"depths": (2, 3, 16, 3), "frames": 32}, "MViTv2-B, of 32 frames"),
    "mvit_v2_tiny": Preset(
        MViT,
        {
            **{"width": 32, "depths": (1, 2, 1), "key_stride": 4, "frames": 8},
            **{"num_classes": 10, "image_size": 64, "initialization": "fan_in"},
        },
        "0.3 M parameters, for tests and demos",
    ),
    "vivit_b": Preset(ViViT, {}, "ViViT-B/16x2, model 1: all tubelets attend to all"),
    "vivit_b_factorised": Preset(
        ViViT, _FACTORISED_ENCODER, "ViViT-B/16x2, model 2: an encoder of frames before one of the clip"
    ),
    "vivit_l": Preset(ViViT, _VIT_L, "ViViT-L/16x2, model 1: all tubelets attend to all"),
    "vivit_l_factorised": Preset(
        ViViT, _VIT_L | _FACTORISED_ENCODER, "ViViT-L/16x2, model 2: an encoder of frames before one of the clip"
    ),
    "vivit_tiny": Preset(
        ViViT,
        {
            **{"width": 96, "depth": 2, "temporal_depth": 2, "heads": 3, "frames": 8},
            **{"num_classes": 10, "image_size": 64, "initialization": "fan_in"},
        },
        "0.4 M parameters, for tests and demos, model 1; options make the others",
    ),
}
_OWN_MODELS = frozenset(_PRESETS)


def list_models() -> dict[str, str]:
    """Lists the names that `create_model` accepts, each with a line of description."""
    load_plugins()
    return {name: preset.description for name, preset in _PRESETS.items()}


def register_model(
    name: str, model_class: type[Backbone], options: Mapping[str, Any] | None = None, description: str = ""
) -> None:
    """Adds a model, which the whole library then takes by its name.

    The same class may be registered again under its name, as a notebook's cell or a recipe file that runs twice does.
    It is known in this process. A recipe file that registers a model serves the commands that run the recipe. Other
    processes, such as those of `motion-vit predict --checkpoint` and `motion-vit compare --jobs 2`, find the models of
    installed packages: their entry points of the group `motion_vit.plugins` name the modules that register them.

    Args:
      name: the model's name, of letters, digits and `_ . + -`.
      model_class: see `motion_vit.models.video_model.Backbone`. Its fields are options, and all have defaults.
      options: those that differ from the class's defaults.
      description: a line for `list_models`.

    Raises:
      UserError: the name is taken or no such name, the class is no `Backbone`, lacks what one must have or cannot be
        called as one is, or it refuses the options.
    """
    known = {each: preset.model_class for each, preset in _PRESETS.items()}
    check_registration("model", name, model_class, known=known, own=_OWN_MODELS)
    if problem := _breach_of_contract(model_class):
        raise UserError(f"{model_class!r} cannot be registered as model {name!r}: {problem}.")
    if not isinstance(options, Mapping | None):
        raise UserError(f"the options of model {name!r} are {options!r}, but must be a mapping of names to values.")
    if not isinstance(description, str):
        raise UserError(f"the description of model {name!r} is {description!r}, but must be a text.")
    preset = Preset(model_class, dict(options or {}), description)
    _build(name, preset, {})
    _PRESETS[name] = preset


def model_class(name: str) -> type[Backbone]:
    """Returns the class of a model; loads plugins if it is not known otherwise.

    Args:
      name: one of `list_models()`.

    Raises:
      UserError: there is no such model.
    """
    return _preset(name).model_class


def create_model(name: str, /, **options: Any) -> VideoModel:
    """Builds a model by name.

    Args:
      name: one of `list_models()`.
      **options: fields of the model's class, such as `motion_vit.models.uniformer.UniFormer`, that differ from the
        named model's. All models have `num_classes`, `frames`, `image_size` and `dtype` ("float32", "bfloat16" or
        "float16"), those of the library also `motion_module` and `remat`; `stochastic_depth`, `window`,
        `temporal_shift` and others are of some. `input_adapter="motion_prompt"` puts video motion prompts before the
        model, whose own options are the fields of `motion_vit.models.motion_prompted.MotionPrompted`.

    Returns:
      A Flax Linen module. `model.init(key, clips)` makes its variables, `model.apply(variables, clips, train=False)`
      its logits.

    Raises:
      UserError: an unknown name or option, or an option's value that the model refuses.
    """
    return _build(name, _preset(name), options)


def _preset(name: str) -> Preset:
    if not isinstance(name, str):
        raise UserError(f"the model is named {name!r}, but a name is a text, such as 'uniformer_emim_s'.")
    if name not in _PRESETS:
        load_plugins()
    if name not in _PRESETS:
        raise UserError(
            f"unknown model {name!r}.{did_you_mean(name, _PRESETS)} The models are: {', '.join(_PRESETS)}. Names that "
            "`motion-vit models` lists are of weights: --checkpoint, initial_weights and motion_vit.load take them. A "
            "model of your own is known after motion_vit.models.registry.register_model: import what registers it, "
            f"take a recipe file that does, or install its package with an entry point of the group {GROUP}."
        )
    return _PRESETS[name]


def _breach_of_contract(model_class: Any) -> str:
    """Says what a class lacks to be registered as a model; "" for nothing."""
    if not (isinstance(model_class, type) and issubclass(model_class, Backbone)):
        return "it must be a class that derives from motion_vit.models.video_model.Backbone"
    if model_class.__call__ is Backbone.__call__:
        return "it must define __call__(self, clips, train=False)"
    if not takes(model_class.__call__, None, None) or not takes(model_class.__call__, None, None, train=False):
        return (
            f"its __call__ has the parameters {inspect.signature(model_class.__call__)}, but the library calls "
            "__call__(self, clips, train=False), also without train"
        )
    defaults = option_defaults(model_class)
    fields = [field.name for field in dataclasses.fields(model_class) if field.name not in ("parent", "name")]
    if missing := [field for field in fields if field not in defaults]:
        return f"its field {missing[0]!r} must have a default, because fields are options"
    if functions := [field for field in fields if callable(defaults[field]) and field != "dtype"]:
        return (
            f"its field {functions[0]!r} has the default {defaults[functions[0]]!r}, but options are numbers, texts, "
            "truth values, None and tuples of them, which recipes and checkpoints can hold. Name it by a text, such as "
            "'gelu'"
        )
    if taken := [field for field in fields if field == ADAPTER_OPTION or adapter_of_option(field) is not None]:
        return f"its field {taken[0]!r} has the name of an option of input adapters and must be called otherwise"
    return ""


def _build(name: str, preset: Preset, options: Mapping[str, Any]) -> VideoModel:
    """Builds a model of a preset, with options as a person gives them."""
    given = dict(options)
    adapter = adapter_class(given.pop(ADAPTER_OPTION, "none"))
    defaults = option_defaults(preset.model_class)
    adapter_defaults = option_defaults(adapter) if adapter else {}
    known = {**defaults, **adapter_defaults}
    for option in (*preset.options, *given):
        if option not in known:
            raise UserError(_unknown_option(name, option, [*known, ADAPTER_OPTION]))
    # The dtype is always set, so that equal models have equal hashes: the default is a class, which equals the dtype
    # that its name is converted to, but has another hash.
    standard = {"dtype": defaults["dtype"]} if "dtype" in defaults else {}
    chosen = {**standard, **preset.options, **given}
    values = {option: _value(option, _as_python(value)) for option, value in chosen.items()}
    try:
        model = preset.model_class(**{option: value for option, value in values.items() if option in defaults})
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


def _as_python(value: Any) -> Any:
    """Makes Python's own numbers of those of NumPy and JAX, which are no `int` and cannot be written as JSON."""
    if isinstance(value, list | tuple):
        return tuple(map(_as_python, value))
    return value.tolist() if isinstance(value, np.generic | np.ndarray | jax.Array) else value


def _value(option: str, value: Any) -> Any:
    """Converts an option for the model: configs hold lists for tuples, and names for dtypes."""
    if option == "dtype":
        with contextlib.suppress(ValueError):
            return computation_dtype(value)
    return tuple(value) if isinstance(value, list) else value
