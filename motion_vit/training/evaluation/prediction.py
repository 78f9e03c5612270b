"""Classifies videos with a model, or with what is in a folder."""

import os
from collections.abc import Sequence
from typing import Literal

from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.prediction import Prediction
from motion_vit.training.inference.unknown_scores import Rejection
from motion_vit.zoo.load import as_trained


def predict(
    videos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: TrainedModel | str | os.PathLike[str],
    *,
    top: int | Literal["all"] = 5,
    start: float = 0.0,
    end: float | None = None,
    clips: int | None = None,
    crops: int | None = None,
    batch_size: int | None = None,
    rejection: Rejection | None = None,
) -> list[Prediction]:
    """Classifies videos.

        motion_vit.predict("my_video.mp4", "runs/my_videos")[0].classes  # (("opening", 0.93), ("closing", 0.07))

    Args:
      videos: a name, or several: of video files, folders of them, lists or patterns, see `find_videos`.
      model: a trained model, or where it is, as `motion_vit.load` takes it: a workdir, a weights folder, or "demo".
      top: how many classes to name, or "all".
      start: second of each video to start at.
      end: second of each video to end before; None for the end of the video.
      clips: clips spread over each video; the recipe's by default.
      crops: crops of each clip, 1 or 3; the recipe's by default.
      batch_size: views at once; the recipe's by default.
      rejection: which videos are called unknown, such as `Rejection("max_softmax", 0.4)` of
        `motion_vit.training.inference.unknown_scores`; None for none.

    Returns:
      The prediction of each video, in order: its most probable classes with their probabilities. Of several videos, one
      that cannot be decoded has no classes and a reason in `error`; the others are not lost.

    Raises:
      VideoDecodeError: a single name is given, not in a list, and it cannot be decoded or leads to no video.
      UserError: there is no model in the folder, no video is given, or a number is out of range.
    """
    return as_trained(model).predict(
        videos, top=top, start=start, end=end, clips=clips, crops=crops, batch_size=batch_size, rejection=rejection
    )
