"""Classifies video files."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.training.inference.ranking import ranked_classes
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.step.train_step import LogitsFunction


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The most probable classes of a video.

    Attributes:
      path: the video file.
      classes: (label name, probability) pairs, the most probable first; () where logits are NaN or infinite, which say
        of no class that it is more probable than another.
    """

    path: str
    classes: tuple[tuple[str, float], ...]

    def to_dict(self) -> dict[str, object]:
        """Gives the prediction as JSON."""
        ranking = [{"label": name, "probability": probability} for name, probability in self.classes]
        return {"video": self.path, "predictions": ranking}

    def __str__(self) -> str:
        """Writes the path, and a line for each class."""
        lines = [f"  {100 * probability:5.1f} %  {name}" for name, probability in self.classes]
        return "\n".join([self.path, *(lines or ["  no class: the logits are NaN or infinite"])])


def predict_videos(
    logits_of: LogitsFunction,
    variables: Any,
    config: ConfigDict,
    label_names: Sequence[str],
    paths: Iterable[str],
    *,
    top: int,
    mesh: Mesh,
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

    Yields:
      The prediction of each file. Probabilities are the softmax of the mean logits of its views.

    Raises:
      VideoDecodeError: when a file's turn comes and it cannot be decoded.
    """
    for path in paths:
        clip = StoredClip(id=path, label=0, video=path)
        views = clip_views(clip, clip_options(config), clips=config.evaluation.clips, crops=config.evaluation.crops)
        padding = [(0, -len(views) % meshes.batch_parts(mesh))] + [(0, 0)] * 4
        clips = meshes.to_devices({"clip": np.pad(views, padding)}, mesh)["clip"]
        logits = np.asarray(logits_of(variables, clips))[: len(views)].mean(axis=0)
        yield Prediction(path, ranked_classes(logits, label_names, top))
