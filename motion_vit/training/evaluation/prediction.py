"""Classifies video files with a model, or with what is in a folder."""

import os
from collections.abc import Sequence

from motion_vit.training.checkpoints.load_trained import as_trained
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.prediction import Prediction


def predict(
    videos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: TrainedModel | str | os.PathLike[str],
    *,
    top: int = 5,
) -> list[Prediction]:
    """Classifies video files.

        motion_vit.predict("my_video.mp4", "runs/my_videos")[0].classes  # (("opening", 0.93), ("closing", 0.07))

    Args:
      videos: a video file, or several.
      model: a trained model, or where it is, as `motion_vit.load` takes it: a workdir, a weights folder, or "demo".
      top: how many classes to name.

    Returns:
      The prediction of each video, in order: its most probable classes with their probabilities. Of several videos, one
      that cannot be decoded has no classes and a reason in `error`; the others are not lost.

    Raises:
      VideoDecodeError: a single file is given, not in a list, and cannot be decoded.
      UserError: there is no model in the folder, no video file is given, or `top` is no whole number of 1 or more.
    """
    return as_trained(model).predict(videos, top=top)
