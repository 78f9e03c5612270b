"""Reads a recipe's data and clip options, in the terms of `motion_vit.data`."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.weak_and_strong import WeakAndStrongViews
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.sources.unlabelled import open_unlabelled
from motion_vit.errors import UserError
from motion_vit.models.options import extra_frames


def clip_options(config: ConfigDict) -> ClipOptions:
    """Returns the clip options of a recipe: sampling, cropping and augmentation on the host.

    Args:
      config: the recipe.

    Returns:
      The options.

    Raises:
      UserError: a value is out of its range.
    """
    data, augmentation = config.data, config.augmentation
    return ClipOptions(
        frames=data.frames,
        extra_frames=extra_frames(config.model.options.to_dict()),
        size=data.size,
        sampling=data.sampling,
        stride=data.stride,
        fps=data.fps,
        crop=augmentation.crop,
        crop_scale=tuple(augmentation.crop_scale),
        crop_ratio=tuple(augmentation.crop_ratio),
        crop_sizes=tuple(augmentation.crop_sizes),
        flip=augmentation.flip,
        rand_augment=augmentation.rand_augment,
        rand_augment_on=augmentation.rand_augment_on,
        repeats=augmentation.repeats,
    )


def unlabelled_views(config: ConfigDict) -> WeakAndStrongViews:
    """Returns what makes the views of unlabelled clips that a recipe asks for.

    Args:
      config: the recipe.

    Raises:
      UserError: a value is out of its range.
    """
    fields = config.unlabelled
    return WeakAndStrongViews(clip_options(config), rand_augment=fields.rand_augment, strong_time=fields.strong_time)


def open_unlabelled_source(config: ConfigDict, label_names: Sequence[str]) -> ClipSource | None:
    """Opens the unlabelled data of a recipe.

    Args:
      config: the recipe.
      label_names: classes of the training data.

    Returns:
      The clips, None for a recipe without.

    Raises:
      UserError: they are missing or malformed; or their labels are to be known, and one is missing or of another class.
    """
    fields = config.unlabelled
    if not fields.data:
        return None
    return open_unlabelled(fields.data, label_names=label_names if fields.labels_known else None)


def open_sources(config: ConfigDict) -> tuple[ClipSource, ClipSource | None]:
    """Opens the recipe's data; the training data decides the classes.

    Args:
      config: the recipe.

    Returns:
      The training clips, and the validation clips or None without any.

    Raises:
      UserError: they are missing or malformed, or the validation clips have labels that the training clips lack.
    """
    if not config.data.train:
        raise UserError("config field data.train is '', but must be the path of a prepared folder or of a list file.")
    training = open_source(config.data.train, default_split="train")
    if not config.data.validation:
        return training, None
    names = training.label_names
    return training, open_source(config.data.validation, default_split="validation", label_names=names)
