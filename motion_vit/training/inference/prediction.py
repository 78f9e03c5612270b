"""Classifies video files."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.sources.frame_rates import rate_note
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.video.jpeg_frames import find_jpegs
from motion_vit.data.video.timeline import read_timeline
from motion_vit.errors import UserError
from motion_vit.outside_text import LONGEST_LABEL, for_terminal, visible
from motion_vit.training.inference.ranking import ranked_classes
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.step.train_step import LogitsFunction

_NOT_FINITE = (
    "the logits are NaN or infinite, which says nothing of its class: the weights are damaged, or training has "
    "diverged; take an earlier checkpoint, such as --which best, or train anew with a lower learning rate"
)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The most probable classes of a video.

    Attributes:
      path: the video file.
      classes: (label name, probability) pairs, the most probable first; () where logits are NaN or infinite, which say
        of no class that it is more probable than another, and where there is an error.
      error: why the video could not be classified, in words; "" if it was.
      note: what is to be known about the video's frame rate, a sentence; "" if nothing.
    """

    path: str
    classes: tuple[tuple[str, float], ...]
    error: str = ""
    note: str = ""

    @property
    def failure(self) -> str:
        """The reason why no class is named, in words; "" if one is."""
        return self.error or ("" if self.classes else _NOT_FINITE)

    def check(self) -> None:
        """Raises the error of a video that could not be classified.

        Raises:
          VideoDecodeError: there is one.
        """
        if self.error:
            raise VideoDecodeError(self.path, self.error)

    def to_dict(self) -> dict[str, object]:
        """Gives the prediction as JSON; only that of a video without a class has an `error`."""
        ranking = [{"label": name, "probability": probability} for name, probability in self.classes]
        entry: dict[str, object] = {"video": self.path, "predictions": ranking}
        entry |= {"error": self.failure} if self.failure else {}
        return entry | ({"note": self.note} if self.note else {})

    def __str__(self) -> str:
        """Writes the path, and a line for each class or one for the error."""
        classes = [(for_terminal(name, LONGEST_LABEL), probability) for name, probability in self.classes]
        lines = [f"  {100 * probability:5.1f} %  {name}" for name, probability in classes]
        if self.failure:
            lines = [f"  not classified: {visible(self.failure)}"]
        if self.note:
            lines.append(f"  note: {visible(self.note)}")
        return "\n".join([for_terminal(self.path), *lines])


def predict_videos(
    logits_of: LogitsFunction,
    variables: Any,
    config: ConfigDict,
    label_names: Sequence[str],
    paths: Iterable[str],
    *,
    top: int,
    mesh: Mesh,
    frame_rate: float = 0.0,
) -> Iterator[Prediction]:
    """Classifies video files, with the views that the recipe evaluates with.

    Args:
      logits_of: the model's logits, of `make_logits_function`.
      variables: the model's parameters and running statistics.
      config: the recipe that it was trained with.
      label_names: name of each class, in the order of the logits.
      paths: video files.
      top: how many classes to name.
      mesh: devices that hold the variables.
      frame_rate: median frames per second of the training videos; 0.0 if unknown.

    Yields:
      The prediction of each file. Probabilities are the softmax of the mean logits of its views. A file that cannot be
      decoded gets one with an error.
    """
    for path in paths:
        clip = StoredClip(id=path, label=0, video=path)
        try:
            views = clip_views(clip, clip_options(config), clips=config.evaluation.clips, crops=config.evaluation.crops)
        except VideoDecodeError as error:
            yield Prediction(path, (), error.reason)
            continue
        padding = [(0, -len(views) % meshes.batch_parts(mesh))] + [(0, 0)] * 4
        clips = meshes.to_devices({"clip": np.pad(views, padding)}, mesh)["clip"]
        logits = jax.device_get(logits_of(variables, clips))[: len(views)].mean(axis=0)
        note = _rate_note(path, config, frame_rate)
        yield Prediction(path, ranked_classes(logits, label_names, top), note=note)


def _rate_note(path: str, config: ConfigDict, frame_rate: float) -> str:
    """Describes a frame rate far from training's; clips of `segment` sampling show the whole video at any rate."""
    if config.data.sampling != "dense" or not (config.data.fps or frame_rate):
        return ""
    try:
        with unexpected_as_decode_error(path):
            rate = 0.0 if find_jpegs(path) is not None else read_timeline(path).fps
    except UserError:
        return ""  # it was classified
    return rate_note(rate, fps=config.data.fps, trained=frame_rate)
