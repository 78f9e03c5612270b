"""Checks of a recipe before anything is built: every value in its range, and a model that accepts its options."""

import math
from typing import Any

from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.errors import UserError
from motion_vit.files.local_path import refuse_address
from motion_vit.models.checked_model import TracedModel, checked_model
from motion_vit.models.option import option_traits
from motion_vit.models.options import adapter_traits, extra_frames, model_options
from motion_vit.models.registry import create_model, model_class
from motion_vit.models.video_model import VideoModel
from motion_vit.ranges import problems
from motion_vit.training.losses.independence import SMALLEST_BATCH
from motion_vit.training.losses.registry import all_loss_options, check_loss
from motion_vit.training.recipe.clips import clip_options, unlabelled_views
from motion_vit.training.recipe.config import default_config, flatten
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.training.recipe.field_ranges import FIELD_RANGES, PATH_FIELDS

LARGEST_BATCH = 2**40
"""Bytes of the pixels of a batch, over all hosts. Each host compares its part with its memory when it reads one."""

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
    traced = build_model(config, config.model.options.get("num_classes") or _SOME_CLASSES)
    if config.temporal_weights and traced.model.temporal_encoder() is None:
        raise UserError(
            f"config field temporal_weights is {config.temporal_weights!r}, but {config.model.name!r} with its options "
            "has no temporal encoder. Leave it empty, or take a ViViT with the option attention='factorised_encoder'."
        )


def validate_fields(config: ConfigDict) -> None:
    """Checks all values of a recipe, but not what its model makes of them.

    Args:
      config: the recipe, possibly without data.

    Raises:
      UserError: naming the field, its value and what was expected.
    """
    if found := problems(flatten(config), FIELD_RANGES):  # a recipe file may assign None to any field
        raise UserError(f"config field {found[0]}.")
    values = flatten(config)
    for name in PATH_FIELDS:
        given = values[name]
        try:
            for path in (given,) if isinstance(given, str) else given:
                refuse_address(path)
        except UserError as error:
            raise UserError(f"config field {name}: {error}") from error
    if config.evaluation.ema and not config.ema:
        raise UserError(
            "config field evaluation.ema is True, but the run keeps no averages: config field ema is empty. "
            'Set it, such as ((".*", 0.9999),), or evaluation.ema=False.'
        )
    if config.temporal_weights and not config.initial_weights:
        raise UserError(
            f"config field temporal_weights is {config.temporal_weights!r}, which goes with weights of the rest, but "
            "config field initial_weights is empty. Name weights there, or leave temporal_weights empty."
        )
    _check_learning_rates(config)
    _check_distillation(config)
    _check_unlabelled(config)
    _check_debiasing(config)
    _check_mesh(config)
    _check_still(config)
    _check_features(config)
    check_loss(config.loss.name, config.loss.options.to_dict())
    _check_calibration(config)
    _check_batches(config)


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
            f"config field model.options.num_classes is {given}, but the list file has "
            f"{counted(num_classes, 'class')}. Leave the option out: the number is taken from the list."
        )
    for name, field in fields_that_set_options(config.model.name).items():
        if name in options:
            raise UserError(f"config field model.options.{name} is set by {field}; leave the option out.")
    data = config.data
    options |= {"num_classes": num_classes, "frames": data.frames, "image_size": data.size}
    if extra_frames(options):  # an input adapter, which reads the pixels behind the clips
        options |= {"pixel_mean": tuple(data.mean), "pixel_std": tuple(data.std), "channel_order": data.channel_order}
    options |= _compilation_options(config, create_model(config.model.name, **options))
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
                f"config field {name} is {fields[name]}, but must be at most {limit}, {fields[limit]}. "
                f"Lower it as well, or raise {limit}."
            )


def _check_calibration(config: ConfigDict) -> None:
    """Refuses targets that are no labels where the loss asks whether a clip is classified right."""
    if config.loss.name != "evidential":
        return
    if not all_loss_options("evidential", config.loss.options.to_dict())["calibration"]:
        return
    mixed = config.augmentation.mix_probability > 0
    fields = {
        "loss.label_smoothing": config.loss.label_smoothing,
        "augmentation.mixup": config.augmentation.mixup if mixed else 0.0,
        "augmentation.cutmix": config.augmentation.cutmix if mixed else 0.0,
    }
    for name, value in fields.items():
        if value > 0:
            raise UserError(
                f"config field {name} is {value}, but must be 0: the calibration of the evidential loss asks whether a "
                "clip is classified right, which a smoothed or mixed target does not say. Set it to 0, or "
                "loss.options.calibration=False."
            )


def _check_batches(config: ConfigDict) -> None:
    """Checks the sizes that batches have by several fields, each of which is in its range."""
    clip, evaluation = clip_options(config), config.evaluation
    views = evaluation.clips * evaluation.crops
    for fields, clips in (
        ("batch_size, augmentation.repeats, data.frames and data.size", config.batch_size * clip.repeats),
        ("evaluation.batch_size, data.frames and data.size", evaluation.batch_size),
        ("evaluation.clips, evaluation.crops, data.frames and data.size", views),
    ):
        size = clips * math.prod(clip.shape)
        if size > LARGEST_BATCH:
            raise UserError(
                f"config fields {fields} make {clips} clips of {clip.decoded_frames} frames of {clip.size} x "
                f"{clip.size} pixels, {size:.2g} bytes at once, but at most {LARGEST_BATCH:.2g} are. Lower one of them."
            )


def _check_distillation(config: ConfigDict) -> None:
    fields = config.distillation
    if fields.teachers:
        _check_learns_labels(config, "distillation.teachers")
    if len(set(fields.teachers)) < len(fields.teachers):
        raise UserError(
            f"config field distillation.teachers names a model twice: {', '.join(fields.teachers)}. Name each once."
        )
    if fields.teachers and not fields.weight and not fields.feature_weight:
        raise UserError(
            "config fields distillation.weight and distillation.feature_weight are 0, so that nothing is learned from "
            "distillation.teachers. Give one of them a weight above 0, or name no teacher."
        )
    if fields.features and not fields.feature_weight:
        raise UserError(
            "config field distillation.features names features, but distillation.feature_weight is 0, so that they "
            "are not learned. Give a weight above 0, or name none."
        )
    if fields.feature_weight and not fields.teachers:
        raise UserError(
            f"config field distillation.feature_weight is {fields.feature_weight:g}, but there is no teacher to learn "
            "features from. Name one in distillation.teachers, or set it to 0."
        )


def _check_learns_labels(config: ConfigDict, field: str) -> None:
    """Refuses objectives and losses whose logits are not those of a softmax, where others' labels are learned."""
    if config.objective != "classification":
        raise UserError(
            f"config field {field} is for the objective 'classification', and config field objective is "
            f"{config.objective!r}. Pretrain first, and start from such weights."
        )
    if trained_evidence(config):
        raise UserError(
            f"config field {field} takes logits for those of a softmax, but config field loss.name is "
            f"{config.loss.name!r}, which makes evidence of them. Take another loss."
        )


def _check_unlabelled(config: ConfigDict) -> None:
    """Checks that what is learned from unlabelled clips goes with the other fields."""
    fields = config.unlabelled
    if not fields.data:
        return
    unlabelled_views(config)
    _check_learns_labels(config, "unlabelled.data")
    if not config.ema:
        raise UserError(
            "config field unlabelled.data needs averages of the parameters, which give the labels, but config field "
            'ema is empty. Set it, such as ((".*", 0.9999),).'
        )
    if not fields.weight and not fields.mix_weight:
        raise UserError(
            "config fields unlabelled.weight and unlabelled.mix_weight are 0, so that nothing is learned from "
            "unlabelled.data. Give one of them a weight, or leave the data out."
        )
    correspondence = config.loss.correspondence
    for name, is_set, instead in (
        ("accumulation", config.accumulation > 1, "Set it to 1, and batch_size to what fits the memory."),
        ("distillation.teachers", bool(config.distillation.teachers), "Distil first, or start from such weights."),
        ("loss.correspondence", bool(correspondence.photometric or correspondence.walk), "Set its weights to 0."),
    ):
        if is_set:
            raise UserError(
                f"config field {name} does not go with unlabelled.data: it is for labelled clips. {instead}"
            )
    if fields.method == "adaptive" and fields.warmup_epochs >= config.epochs:
        raise UserError(
            f"config field unlabelled.warmup_epochs is {fields.warmup_epochs:g}, but must be below epochs, "
            f"{config.epochs:g}: no epoch would be left to learn from unlabelled clips."
        )


def _check_debiasing(config: ConfigDict) -> None:
    """Checks that debiasing goes with the other fields."""
    fields = config.debiasing
    if not fields.weight:
        if fields.features:
            raise UserError(
                f"config field debiasing.features is {fields.features!r}, but debiasing.weight is 0, so that nothing "
                "is debiased. Give a weight above 0, such as 0.1, or name no features."
            )
        return
    for name, is_set, why in (
        ("objective", config.objective != "classification", "it learns from labels"),
        ("unlabelled.data", bool(config.unlabelled.data), "it is for labelled clips"),
        ("accumulation", config.accumulation > 1, "it compares all clips of a step with each other"),
    ):
        if is_set:
            raise UserError(
                f"config field {name} is {flatten(config)[name]!r}, which does not go with debiasing: {why}. "
                f"Set it to {flatten(default_config())[name]!r}, or debiasing.weight to 0."
            )
    clips = config.batch_size * config.augmentation.repeats
    if clips < SMALLEST_BATCH[fields.estimator]:
        raise UserError(
            f"config fields batch_size and augmentation.repeats make {counted(clips, 'clip')} of a step, but "
            f"debiasing.estimator={fields.estimator!r} needs {SMALLEST_BATCH[fields.estimator]} or more. Raise "
            "batch_size, or set debiasing.weight to 0."
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


def _check_still(config: ConfigDict) -> None:
    """Checks that the kind of still frames goes with the bank and the clips."""
    fields = config.augmentation
    if fields.still == "bank" and not fields.still_bank:
        raise UserError(
            'config field augmentation.still is "bank", but augmentation.still_bank is empty. Name a bank, which '
            '`motion-vit frames score` makes, or take "batch", which needs none.'
        )
    if fields.still_bank and fields.still != "bank":
        raise UserError(
            f"config field augmentation.still_bank is {fields.still_bank!r}, but augmentation.still is "
            f'{fields.still!r}, which takes no bank. Set it to "bank", or leave the bank out.'
        )
    if fields.still == "own" and config.data.frames == 1:
        raise UserError(
            'config field augmentation.still is "own", but data.frames is 1: a clip of a single frame is that still '
            'frame. Take more frames, or "batch" or "bank".'
        )


def _check_features(config: ConfigDict) -> None:
    """Refuses what needs the pixels of clips, where a run learns from features instead."""
    data, augmentation, correspondence = config.data, config.augmentation, config.loss.correspondence
    if data.validation_features and not data.validation:
        raise UserError(
            "config field data.validation_features is given, but data.validation is empty: name the videos that the "
            "features are of, too. They are not opened."
        )
    if not data.features:
        if data.validation_features:
            raise UserError(
                "config field data.validation_features is given, but data.features is empty: training would decode "
                "videos. Make features of the training videos, too, or leave these out."
            )
        return
    mixes = augmentation.mix_probability > 0
    pixels = {
        "augmentation.rand_augment": bool(augmentation.rand_augment),
        "augmentation.flip": augmentation.flip != "off",
        "augmentation.repeats": augmentation.repeats > 1,
        "augmentation.erasing": augmentation.erasing > 0,
        "augmentation.mixup": mixes and augmentation.mixup > 0,
        "augmentation.cutmix": mixes and augmentation.cutmix > 0,
        "augmentation.still": augmentation.still != "none",
        "loss.correspondence.photometric": correspondence.photometric > 0,
        "loss.correspondence.walk": correspondence.walk > 0,
        "distillation.teachers": bool(config.distillation.teachers),
        "debiasing.weight": config.debiasing.weight > 0,
        "unlabelled.data": bool(config.unlabelled.data),
        "objective": config.objective != "classification",
    }
    for name, is_set in pixels.items():
        if is_set:
            raise UserError(
                f"config field {name} is {flatten(config)[name]!r}, which needs the pixels of clips, but data.features "
                f"gives tokens that were computed before. Set it to {flatten(default_config())[name]!r}, or leave "
                "data.features out."
            )
