"""Classifies video files with a trained model."""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.evaluation.metrics import finite_rows
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.step.train_step import logits_function


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The most probable classes of a video.

    Attributes:
      path: the video file.
      classes: (label name, probability) pairs, the most probable first; () where logits are NaN or infinite and cannot
        be ranked.
    """

    path: str
    classes: tuple[tuple[str, float], ...]

    def to_dict(self) -> dict[str, object]:
        """Returns the prediction for JSON."""
        ranking = [{"label": name, "probability": probability} for name, probability in self.classes]
        return {"video": self.path, "predictions": ranking}


def predict(trained: TrainedModel, paths: Sequence[str], *, top: int = 5, mesh: Mesh) -> Iterator[Prediction]:
    """Classifies video files, with the views that the recipe evaluates with.

    Args:
      trained: a checkpoint.
      paths: video files.
      top: number of classes to name.
      mesh: devices that hold the variables.

    Yields:
      The prediction of each file. Probabilities are the softmax of the mean logits of its views.

    Raises:
      VideoDecodeError: a file cannot be decoded; raised at its turn.
    """
    config = trained.config
    logits_of = logits_function(trained.model, normalization(config), mesh)
    for path in paths:
        clip = StoredClip(id=path, label=0, video=path)
        views = clip_views(clip, clip_options(config), clips=config.evaluation.clips, crops=config.evaluation.crops)
        padding = [(0, -len(views) % meshes.batch_parts(mesh))] + [(0, 0)] * 4
        clips = meshes.to_devices({"clip": np.pad(views, padding)}, mesh)["clip"]
        logits = np.asarray(logits_of(trained.variables, clips))[: len(views)].mean(axis=0)
        yield Prediction(path, ranked_classes(logits, trained.label_names, top))


def ranked_classes(
    logits: Float[np.ndarray, " classes"], label_names: Sequence[str], top: int
) -> tuple[tuple[str, float], ...]:
    """Ranks classes by their probability.

    Args:
      logits: of one clip or video.
      label_names: name of each class.
      top: number of classes to name.

    Returns:
      Names and probabilities, the most probable first; () where logits are NaN or infinite.
    """
    if not finite_rows(logits):
        return ()
    probabilities = np.asarray(jax.nn.softmax(logits))
    ranking = np.argsort(-probabilities, kind="stable")[:top]
    return tuple((label_names[number], float(probabilities[number])) for number in ranking)
