"""Probes a model: classifies videos by its frozen features, to say what these are worth for other data."""

import dataclasses
import os
import time
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import ClipSource, clip_name
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.sources.tfds_location import is_tfds, parse_tfds
from motion_vit.errors import UserError
from motion_vit.ranges import Range, problems
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.evaluation.evaluate import VideoOutputs, ViewOptions
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.evaluation.scored_videos import ScoredVideos
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.probing import probe_ranges
from motion_vit.training.probing.features import FeatureReader
from motion_vit.training.probing.logistic_regression import fit_logistic_regression
from motion_vit.training.probing.nearest_neighbors import NEIGHBORS, TEMPERATURE, neighbor_votes
from motion_vit.training.probing.pretrained_encoder import with_new_classifier
from motion_vit.zoo.load import as_trained, load_any

ProbeMethod: TypeAlias = Literal["knn", "linear"]
"""Nearest neighbours, or a linear classifier."""

# Shares of votes become log-probabilities, of which none is infinite.
_SMALLEST_SHARE = 1e-12


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Probe(Evaluation):
    """The result of a probe; logits are log-probabilities of nearest neighbours, or those of the linear classifier.

    Attributes:
      method: how features were classified.
      training: name of the videos whose classes were known.
      data: name of the videos that were classified.
      known: number of the videos whose classes were known.
      left_out: those that could not be decoded.
      width: number of features.
      clips: clips of each video.
      crops: crops of each clip.
      settings: of the method: `neighbors` and `temperature`; or the chosen `penalty`, and `held_out` and
        `held_out_accuracy`, number and accuracy of the training videos that it was chosen on.
    """

    method: ProbeMethod
    training: str
    data: str
    known: int
    left_out: tuple[str, ...]
    width: int
    clips: int
    crops: int
    settings: dict[str, float | int | None]

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON, beginning with what was probed."""
        names = ("method", "training", "data", "known", "width", "clips", "crops", "settings")
        return {
            **{name: getattr(self, name) for name in names},
            "left_out": list(self.left_out),
            **super().to_dict(),
        }


def probe_checkpoint(
    checkpoint: TrainedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    validation: str | os.PathLike[str] | None = None,
    method: ProbeMethod = "knn",
    which: Which = "last",
    ema: bool | None = None,
    clips: int | None = None,
    crops: int | None = None,
    batch_size: int | None = None,
    workers: int = 0,
    neighbors: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> Probe:
    """Classifies held-out videos by the frozen features of a model.

    Features are what the classifier of the model is given, means over the views of each video. The classes are those of
    the data and need not be the model's.

    Args:
      checkpoint: workdir of a training run, or of one that pretrained without labels; a weights folder, a name that
        `motion_vit.load` takes, or a loaded model.
      data: videos whose classes are known: a prepared folder (its split `train`), FOLDER:SPLIT, or a list file.
      validation: videos to classify, whose labels must be among those of `data`; by default the split `validation` of
        the folder or set that `data` names without a split.
      method: "knn" or "linear".
      which: of a workdir, the last checkpoint or the best one.
      ema: of a workdir, whether to take the averages of the parameters; the recipe's `evaluation.ema` by default.
      clips: clips of each video; the recipe's by default.
      crops: crops of each clip, 1 or 3; the recipe's by default.
      batch_size: views at once; the recipe's by default.
      workers: processes that decode.
      neighbors: of "knn", how many vote.
      temperature: of "knn", of their votes.
      seed: of "linear", chooses the training videos that the penalty is chosen on.

    Returns:
      The accuracy and what it was measured with.

    Raises:
      UserError: there is no such checkpoint or data, the same videos are given for both, there are fewer than two
        classes, a number is out of its range, no video can be decoded, or features are NaN or infinite.
    """
    ranges: Mapping[str, Range] = {"neighbors": probe_ranges.NEIGHBORS, "temperature": probe_ranges.TEMPERATURE}
    if found := problems({"neighbors": neighbors, "temperature": temperature}, ranges):
        raise UserError(f"{found[0]}.")
    if method not in ("knn", "linear"):
        raise UserError(f"the method of a probe is {method!r}, but must be 'knn' or 'linear'.")
    training, held_out = _open(data, validation)
    mesh = meshes.data_mesh()
    trained = _read_encoder(checkpoint, which, ema, mesh)
    views = ViewOptions.of(trained.config, batch_size=batch_size, clips=clips, crops=crops, workers=workers)
    start = time.perf_counter()
    reader = FeatureReader(trained, views, mesh)
    known, asked = _finite(reader(training), training), _finite(reader(held_out), held_out)
    labels, classes = known.labels[known.seen], len(training.label_names)
    features, queries = known.outputs[known.seen], asked.outputs[asked.seen]
    if method == "knn":
        logits, chosen = _vote(features, labels, queries, classes, neighbors, temperature)
    else:
        logits, chosen = _regress(features, labels, queries, classes, seed)
    scored = ScoredVideos(
        source=held_out,
        rows=np.flatnonzero(asked.seen),
        labels=asked.labels[asked.seen],
        logits=logits.astype(np.float32),
        views=views.clips * views.crops,
        decode_seconds=asked.decode_seconds[asked.seen],
    )
    return Probe(
        training.label_names,
        scored,
        asked.undecodable(held_out),
        time.perf_counter() - start,
        method=method,
        training=training.name,
        data=held_out.name,
        known=len(labels),
        left_out=known.undecodable(training),
        width=features.shape[1],
        clips=views.clips,
        crops=views.crops,
        settings=chosen,
    )


def _read_encoder(
    checkpoint: TrainedModel | str | os.PathLike[str], which: Which, ema: bool | None, mesh: Mesh
) -> TrainedModel:
    """Reads a model whose features are to be probed, which may have been pretrained without labels."""
    if not isinstance(checkpoint, str | os.PathLike):
        return as_trained(checkpoint)
    found = load_any(checkpoint, which=which, ema=ema, mesh=mesh)
    return with_new_classifier(found, mesh) if isinstance(found, PretrainedRun) else found


def _open(data: str | os.PathLike[str], validation: str | os.PathLike[str] | None) -> tuple[ClipSource, ClipSource]:
    """Opens the videos whose classes are known, and those that are to be classified."""
    training = open_source(data, default_split="train")
    if sum(clips > 0 for clips in training.clips_of_class) < 2:
        raise UserError(f"{training.name} has videos of one class alone, so that there is nothing to tell apart.")
    if validation is None:
        text = os.fspath(data)
        if not os.path.isdir(text) and not (is_tfds(text) and not parse_tfds(text).split):
            raise UserError(
                f"{text} names one split, and a probe also needs videos to classify. Name them as well "
                "(--validation), or a folder that has the splits train and validation."
            )
        validation = data
    held_out = open_source(validation, default_split="validation", label_names=training.label_names)
    if held_out.fingerprint == training.fingerprint:
        raise UserError(
            f"{training.name} and {held_out.name} hold the same videos: each would find itself. Give others to "
            "classify."
        )
    return training, held_out


def _finite(found: VideoOutputs, source: ClipSource) -> VideoOutputs:
    """Checks that all features are finite."""
    broken = np.flatnonzero(found.seen & ~np.isfinite(found.outputs).all(axis=1))
    if len(broken):
        raise UserError(
            f"the features of {counted(len(broken), 'video')} of {source.name} are NaN or infinite, the first of them "
            f"{clip_name(source, int(broken[0]))}: the model has diverged, or its weights are not for such clips."
        )
    return found


def _vote(
    known: Float[np.ndarray, "m c"],
    labels: Int[np.ndarray, " m"],
    queries: Float[np.ndarray, "n c"],
    classes: int,
    neighbors: int,
    temperature: float,
) -> tuple[Float[np.ndarray, "n classes"], dict[str, float | int | None]]:
    count = min(neighbors, len(known))
    votes = neighbor_votes(known, labels, queries, classes=classes, neighbors=count, temperature=temperature)
    return np.log(np.maximum(votes, _SMALLEST_SHARE)), {"neighbors": count, "temperature": temperature}


def _regress(
    known: Float[np.ndarray, "m c"],
    labels: Int[np.ndarray, " m"],
    queries: Float[np.ndarray, "n c"],
    classes: int,
    seed: int,
) -> tuple[Float[np.ndarray, "n classes"], dict[str, float | int | None]]:
    fitted = fit_logistic_regression(known, labels, classes=classes, seed=seed)
    accuracy = fitted.held_out_accuracy if fitted.held_out else None
    chosen = {"penalty": fitted.penalty, "held_out": fitted.held_out, "held_out_accuracy": accuracy}
    return fitted.logits(queries), chosen
