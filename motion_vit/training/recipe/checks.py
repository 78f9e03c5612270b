"""Checks of a recipe before anything is built: every value in its range, and a model that accepts its options."""

import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

from ml_collections import ConfigDict

import motion_vit
from motion_vit.data.batches.clip_options import Crop, Flip, RandAugmentOn, Sampling
from motion_vit.errors import UserError
from motion_vit.models.checked_model import TracedModel, checked_model
from motion_vit.models.option import option_traits
from motion_vit.models.options import adapter_traits, extra_frames, model_options
from motion_vit.models.registry import model_class
from motion_vit.models.video_model import VideoModel
from motion_vit.modules.motion_prompt import ChannelOrder
from motion_vit.training.losses.registry import check_loss
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.config import OptimizerName, default_config, flatten

# The number of classes is known only when the list file is read; the other options can be checked before.
_SOME_CLASSES = 2

COMPILATION_FIELDS = ("remat", "scan_blocks")
"""Fields of the recipe that become options of the model where they are not at their defaults."""


def validate(config: ConfigDict) -> None:
    """Checks all values of a recipe and traces its model, before any data is opened.

    Args:
      config: the recipe.

    Raises:
      UserError: naming the field, its value and what was expected.
    """
    validate_fields(config)
    build_model(config, config.model.options.get("num_classes") or _SOME_CLASSES)


def validate_fields(config: ConfigDict) -> None:
    """Checks all values of a recipe, but not what its model makes of them.

    Args:
      config: the recipe, possibly without data.

    Raises:
      UserError: naming the field, its value and what was expected.
    """
    fields = flatten(config)
    for name, (is_valid, expectation) in _EXPECTATIONS.items():
        if fields[name] is None or not is_valid(fields[name]):  # a recipe file may assign None to any field
            raise UserError(f"config field {name} is {fields[name]!r}, but must be {expectation}.")
    if config.evaluation.ema and not config.ema:
        raise UserError(
            "config field evaluation.ema is True, but the run keeps no averages: config field ema is empty. "
            'Set it, such as ((".*", 0.9999),), or evaluation.ema=False.'
        )
    _check_learning_rates(config)
    _check_mesh(config)
    check_loss(config.loss.name, config.loss.options)
    clip_options(config)


def fields_that_set_options(model_name: str) -> dict[str, str]:
    """Lists the options of a model that other fields of the recipe decide, so that `model.options` must not name them.

    Args:
      model_name: one of `motion_vit.list_models()`.

    Returns:
      Option -> field, of the model and of all input adapters.

    Raises:
      UserError: there is no such model.
    """
    traits = {**adapter_traits(), **option_traits(model_class(model_name))}
    return {name: each.recipe_field for name, each in traits.items() if each.recipe_field}


def build_model(config: ConfigDict, num_classes: int) -> TracedModel:
    """Builds and traces the recipe's model for clips of the recipe's shape, without computing anything.

    Args:
      config: the recipe.
      num_classes: classes of the list file.

    Returns:
      The model and what tracing it has told.

    Raises:
      UserError: unknown or unusable options, or a different number of classes in them.
    """
    options: dict[str, Any] = config.model.options.to_dict()
    given = options.pop("num_classes", num_classes)
    if given != num_classes:
        raise UserError(
            f"config field model.options.num_classes is {given}, but the list file has {num_classes} classes. "
            "Leave the option out: the number is taken from the list."
        )
    for name, field in fields_that_set_options(config.model.name).items():
        if name in options:
            raise UserError(f"config field model.options.{name} is set by {field}; leave the option out.")
    data = config.data
    options |= {"num_classes": num_classes, "frames": data.frames, "image_size": data.size}
    if extra_frames(options):  # an input adapter, which reads the pixels behind the clips
        options |= {"pixel_mean": tuple(data.mean), "pixel_std": tuple(data.std), "channel_order": data.channel_order}
    options |= _compilation_options(config, motion_vit.create_model(config.model.name, **options))
    return checked_model(config.model.name, options, asked_by="data.frames and data.size")


def _compilation_options(config: ConfigDict, model: VideoModel) -> dict[str, Any]:
    """Returns how the model is to be compiled, where the recipe asks for it; not every model has such options."""
    own = model_options(model)
    asked = {}
    for name in COMPILATION_FIELDS:
        usual = default_config()[name]
        if config[name] == usual:
            continue
        if name not in own:
            raise UserError(
                f"config field {name} is {config[name]!r}, which the model {config.model.name!r} cannot do. "
                f"Set it to {usual!r}; a class of models that can do it has a field {name}, which is given the value."
            )
        asked[name] = config[name]
    return asked


def _check_learning_rates(config: ConfigDict) -> None:
    fields = flatten(config)
    for name, limit in (
        ("optimizer.warmup_start", "optimizer.learning_rate"),
        ("optimizer.final_learning_rate", "optimizer.learning_rate"),
        ("optimizer.warmup_epochs", "epochs"),
    ):
        if fields[name] > fields[limit]:
            raise UserError(
                f"config field {name} is {fields[name]}, but must be at most {limit}, {fields[limit]}. Lower it, too."
            )


def _is_range(value: Sequence[Any]) -> bool:
    return _are_numbers(value, 2) and 0 < value[0] <= value[1]


def _are_numbers(value: Sequence[Any], count: int) -> bool:
    return len(value) == count and all(
        isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item) for item in value
    )


def _check_mesh(config: ConfigDict) -> None:
    if list(config.mesh.values()).count(-1) > 1:
        raise UserError(
            f"config field mesh is {config.mesh.to_dict()}, but at most one of its axes can be -1, all devices that "
            "are left. Give the others a number."
        )
    if config.mesh.frames > 1 and config.data.frames % config.mesh.frames:
        raise UserError(
            f"config field mesh.frames is {config.mesh.frames}, but must divide the frames of a clip, "
            f"data.frames = {config.data.frames}."
        )


def _are_rules(value: Sequence[Any], is_valid: Callable[[Any], bool]) -> bool:
    """Tells if these are pairs of a pattern and a valid value."""
    return all(
        isinstance(rule, list | tuple) and len(rule) == 2 and isinstance(rule[0], str) and is_valid(rule[1])
        for rule in value
    )


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_factor(value: Any) -> bool:
    return _are_numbers((value,), 1) and value >= 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_decay(value: Any) -> bool:
    return _are_numbers((value,), 1) and 0 <= value < 1


def _is_layout(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(axis is None or isinstance(axis, str) for axis in value)
    return value in ("fsdp", "replicated")


Expectation = tuple[Callable[[Any], bool], str]

_POSITIVE: Expectation = (lambda value: 0 < value < math.inf, "above 0")
_NOT_NEGATIVE: Expectation = (lambda value: 0 <= value < math.inf, "0 or more")
_AXIS_SIZE: Expectation = (lambda value: value > 0 or value == -1, "above 0, or -1 for all devices that are left")
_SHARE: Expectation = (lambda value: 0 <= value <= 1, "from 0 to 1")
_MASK: Expectation = (
    lambda value: _are_rules(value, _is_bool),
    "pairs of a regular expression and True or False",
)

_EXPECTATIONS: dict[str, Expectation] = {
    "seed": (lambda value: 0 <= value < 2**32, "from 0 to 4294967295"),
    "data.frames": _POSITIVE,
    "data.size": _POSITIVE,
    "data.sampling": (lambda value: value in get_args(Sampling), "'segment' or 'dense'"),
    "data.stride": _POSITIVE,
    "data.mean": (lambda value: _are_numbers(value, 3), "three numbers, for red, green and blue"),
    "data.std": (
        lambda value: _are_numbers(value, 3) and min(value) > 0,
        "three numbers above 0, for red, green and blue",
    ),
    "data.channel_order": (lambda value: value in get_args(ChannelOrder), "'rgb' or 'bgr'"),
    "data.workers": _NOT_NEGATIVE,
    "data.threads": _NOT_NEGATIVE,
    "data.max_undecodable": _SHARE,
    "augmentation.rand_augment_on": (lambda value: value in get_args(RandAugmentOn), "'crop' or 'frame'"),
    "augmentation.crop": (lambda value: value in get_args(Crop), "'random_resized' or 'multi_scale'"),
    "augmentation.crop_scale": (lambda value: _is_range(value) and value[1] <= 1, "two rising shares in (0, 1]"),
    "augmentation.crop_ratio": (_is_range, "two rising numbers above 0"),
    "augmentation.crop_sizes": (
        lambda value: len(value) > 0 and _are_numbers(value, len(value)) and min(value) > 0 and max(value) <= 1,
        "one or more shares in (0, 1]",
    ),
    "augmentation.flip": (lambda value: value in get_args(Flip), "'off', 'on' or 'label_aware'"),
    "augmentation.repeats": _POSITIVE,
    "augmentation.erasing": _SHARE,
    "augmentation.mixup": _NOT_NEGATIVE,
    "augmentation.cutmix": _NOT_NEGATIVE,
    "augmentation.mix_probability": _SHARE,
    "augmentation.mix_switch_probability": _SHARE,
    "batch_size": _POSITIVE,
    "epochs": _POSITIVE,
    "accumulation": _POSITIVE,
    "mesh.data": _AXIS_SIZE,
    "mesh.fsdp": _AXIS_SIZE,
    "mesh.frames": _AXIS_SIZE,
    "sharding_rules": (
        lambda value: _are_rules(value, _is_layout),
        "pairs of a regular expression and 'fsdp', 'replicated' or a tuple with an axis of the mesh or None for each "
        "dimension",
    ),
    "remat": (lambda value: value in ("none", "matmuls", "blocks"), "'none', 'matmuls' or 'blocks'"),
    "ema": (lambda value: _are_rules(value, _is_decay), "pairs of a regular expression and a decay from 0 to below 1"),
    "optimizer.name": (
        lambda value: value in get_args(OptimizerName),
        f"one of {', '.join(get_args(OptimizerName))}",
    ),
    "optimizer.learning_rate": _POSITIVE,
    "optimizer.schedule": (lambda value: value in ("cosine", "step"), "'cosine' or 'step'"),
    "optimizer.decay_epochs": (
        lambda value: (
            _are_numbers(value, len(value)) and list(value) == sorted(set(value)) and min(value, default=1) > 0
        ),
        "rising numbers above 0",
    ),
    "optimizer.decay_factor": _SHARE,
    "optimizer.momentum": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "optimizer.warmup_epochs": _NOT_NEGATIVE,
    "optimizer.warmup_start": _NOT_NEGATIVE,
    "optimizer.final_learning_rate": _NOT_NEGATIVE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.decay_mask": _MASK,
    "optimizer.betas": (
        lambda value: _are_numbers(value, 2) and all(0 <= beta < 1 for beta in value),
        "two numbers from 0 to below 1",
    ),
    "optimizer.eps": _POSITIVE,
    "optimizer.muon.momentum": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "optimizer.muon.matrices": (
        lambda value: _are_rules(value, _is_count),
        "pairs of a regular expression and a whole number of 0 or more",
    ),
    "optimizer.clip_norm": _NOT_NEGATIVE,
    "optimizer.layer_decay": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "optimizer.learning_rate_multipliers": (
        lambda value: _are_rules(value, _is_factor),
        "pairs of a regular expression and a factor of 0 or more",
    ),
    "optimizer.frozen": _MASK,
    "loss.label_smoothing": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "loss.classification": _NOT_NEGATIVE,
    "loss.correspondence.photometric": _NOT_NEGATIVE,
    "loss.correspondence.smoothness": _NOT_NEGATIVE,
    "loss.correspondence.walk": _NOT_NEGATIVE,
    "loss.correspondence.edge_dropout": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "evaluation.batch_size": _POSITIVE,
    "evaluation.clips": _POSITIVE,
    "evaluation.crops": (lambda value: value in (1, 3), "1 or 3"),
    "evaluation.every_epochs": _POSITIVE,
    "checkpoint.every_steps": _POSITIVE,
    "checkpoint.keep": _POSITIVE,
    "log.every_steps": _POSITIVE,
}
