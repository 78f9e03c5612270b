"""What a recipe says about its data, in the terms of `motion_vit.data`."""

from ml_collections import ConfigDict

from motion_vit.data.pipeline import ClipOptions
from motion_vit.data.video_list import VideoList, read_video_list


def clip_options(config: ConfigDict) -> ClipOptions:
    """How the recipe cuts clips out of videos.

    Args:
      config: the recipe.

    Returns:
      The options.

    Raises:
      UserError: a value is out of its range.
    """
    data = config.data
    return ClipOptions(
        frames=data.frames,
        size=data.size,
        sampling=data.sampling,
        stride=data.stride,
        crop_scale=tuple(data.crop_scale),
        crop_ratio=tuple(data.crop_ratio),
        flip=data.flip,
    )


def read_lists(config: ConfigDict) -> tuple[VideoList, VideoList | None]:
    """Reads the recipe's lists of videos; the training list decides the classes.

    Args:
      config: the recipe.

    Returns:
      The training videos, and the validation videos or None without a validation list.

    Raises:
      UserError: a list is missing, empty or malformed, or names labels that the training list does not have.
    """
    training = read_video_list(config.data.train)
    if not config.data.validation:
        return training, None
    return training, read_video_list(config.data.validation, label_names=training.label_names)
