"""Measures a model's accuracy on a list of videos, with several views of each.

With several processes, each decodes its own part of the videos, and all get the whole result.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import grain
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int
from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.batches.feature_batches import feature_views
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.data.features.feature_folder import FeatureFolder
from motion_vit.data.sources.clip_source import ClipSource, clip_name
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.evaluation.scored_videos import ScoredVideos
from motion_vit.training.losses.evidence import EvidenceName
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.processes import SharedError, is_primary, shard
from motion_vit.training.step.train_step import LogitsFunction

# Entries of a batch that are told of every row, beside the logits.
_KEPT = ("label", "weight", "index", "seconds")


class CachedFeatures(NamedTuple):
    """Features of videos, read in the place of these.

    Attributes:
      folder: where they lie, with the views that are asked for.
      labels: class of each video among the label names of its source.
    """

    folder: FeatureFolder
    labels: Int[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class ViewOptions:
    """Number, order and batching of a video's views.

    Attributes:
      batch_size: views per batch, over all processes; rounded up to a multiple of the devices.
      clips: clips spread over each video.
      crops: 1 (centre) or 3 along the long side.
      frame_order: "normal", or a control: "frozen" (every frame is the middle one), "shuffled" or "reversed".
      workers: processes that decode; 0 decodes in threads of this one.
      threads: those threads; 0 for as many as cores.
      corruption: what is done to the frames, or None.
    """

    batch_size: int = 32
    clips: int = 1
    crops: int = 1
    frame_order: FrameOrder = "normal"
    workers: int = 0
    threads: int = 0
    corruption: Corruption | None = None

    @classmethod
    def of(
        cls,
        config: ConfigDict,
        *,
        batch_size: int | None = None,
        clips: int | None = None,
        crops: int | None = None,
        **others: Any,
    ) -> "ViewOptions":
        """Makes the options that a call asks for, and of a recipe where it does not.

        Args:
          config: the recipe, with `evaluation`.
          batch_size: None for the recipe's.
          clips: likewise.
          crops: likewise.
          **others: the other options.
        """
        settings = config.evaluation
        return cls(
            batch_size=batch_size or settings.batch_size,
            clips=clips or settings.clips,
            crops=crops or settings.crops,
            **others,
        )


class EvaluationStopped(Exception):
    """Raised when an evaluation is stopped before its end."""


def evaluate(
    logits_of: LogitsFunction,
    variables: Any,
    source: ClipSource,
    options: ClipOptions,
    views: ViewOptions,
    *,
    mesh: Mesh,
    evidence: EvidenceName | None = None,
    stopped: Callable[[], bool] = lambda: False,
    features: CachedFeatures | None = None,
) -> Evaluation:
    """Evaluates a model; averages the logits of a video's views.

    Args:
      logits_of: the model's logits, of `make_logits_function`.
      variables: the model's variables, on the mesh.
      source: the videos, with the model's label names.
      options: frames, size and sampling of a clip.
      views: views of each video.
      mesh: devices that batches are split over.
      evidence: what makes evidence of the logits; None for the softmax.
      stopped: called before each batch; True stops. All processes must get the same answers.
      features: of the videos, which are then not decoded; `logits_of` takes tokens of frames.

    Returns:
      What the model said of each video, and what that amounts to.

    Raises:
      UserError: no video could be decoded.
      EvaluationStopped: `stopped` returned True.
    """
    start = time.perf_counter()
    scored, skipped = score_videos(
        logits_of,
        variables,
        source,
        options,
        views,
        mesh=mesh,
        evidence=evidence,
        stopped=stopped,
        features=features,
    )
    return Evaluation(source.label_names, scored, skipped, time.perf_counter() - start)


def score_videos(
    logits_of: LogitsFunction,
    variables: Any,
    source: ClipSource,
    options: ClipOptions,
    views: ViewOptions,
    *,
    mesh: Mesh,
    evidence: EvidenceName | None = None,
    stopped: Callable[[], bool] = lambda: False,
    features: CachedFeatures | None = None,
) -> tuple[ScoredVideos, tuple[str, ...]]:
    """Computes what a model says of videos, whose classes need not be its own.

    Args:
      logits_of: as for `evaluate`, and all others, too.
      variables: likewise.
      source: the videos.
      options: likewise.
      views: likewise.
      mesh: likewise.
      evidence: likewise.
      stopped: likewise.
      features: likewise.

    Returns:
      The videos, whose labels are those of the source, and the names of those that could not be decoded.

    Raises:
      UserError: no video could be decoded.
      EvaluationStopped: `stopped` returned True.
    """
    whole = mean_outputs(logits_of, variables, source, options, views, mesh=mesh, stopped=stopped, features=features)
    seen = whole.seen
    scored = ScoredVideos(
        source=source,
        rows=np.flatnonzero(seen),
        labels=whole.labels[seen],
        logits=whole.outputs[seen],
        views=views.clips * views.crops,
        decode_seconds=whole.decode_seconds[seen],
        evidence=evidence,
    )
    return scored, whole.undecodable(source)


class VideoOutputs(NamedTuple):
    """Outputs of a model for every row of a source.

    Attributes:
      outputs: means over the views of each video; 0 for one that cannot be decoded.
      labels: classes; 0 for one that cannot be decoded.
      seen: whether it could be decoded.
      decode_seconds: time that decoding all views of it took.
    """

    outputs: Float[np.ndarray, "n width"]
    labels: Int[np.ndarray, " n"]
    seen: Bool[np.ndarray, " n"]
    decode_seconds: Float[np.ndarray, " n"]

    def undecodable(self, source: ClipSource) -> tuple[str, ...]:
        """Names the videos of their source that could not be decoded."""
        return tuple(clip_name(source, int(row)) for row in np.flatnonzero(~self.seen))


def mean_outputs(
    outputs_of: LogitsFunction,
    variables: Any,
    source: ClipSource,
    options: ClipOptions,
    views: ViewOptions,
    *,
    mesh: Mesh,
    stopped: Callable[[], bool] = lambda: False,
    features: CachedFeatures | None = None,
) -> VideoOutputs:
    """Averages what a model gives for the views of each video, such as logits or features.

    Args:
      outputs_of: a compiled function of the variables and of clips; float32 `[views, width]`, whole on every device.
      variables: the model's variables, on the mesh.
      source: the videos.
      options: frames, size and sampling of a clip.
      views: views of each video.
      mesh: devices that batches are split over.
      stopped: as for `evaluate`.
      features: as for `evaluate`.

    Returns:
      The means, of all processes together.

    Raises:
      UserError: no video could be decoded.
      EvaluationStopped: `stopped` returned True.
    """
    number, processes = shard()
    parts = math.lcm(meshes.batch_parts(mesh), processes)
    batch_size = -(-views.batch_size // parts) * parts
    views = dataclasses.replace(views, batch_size=batch_size // processes)
    batches = _batches(source, options, views, features, (number, processes))
    found = VideoOutputs(
        np.zeros((len(source), 0), np.float32),  # of as many numbers as the first batch has
        np.zeros(len(source), np.int32),
        np.zeros(len(source), bool),
        np.zeros(len(source), np.float32),
    )
    count = math.ceil(len(source) * views.clips * views.crops / batch_size)
    with progress_bar(count, "evaluating", "batch", leave=False, shown=is_primary()) as bar:
        for batch in batches:
            if stopped():
                raise EvaluationStopped
            on_devices = meshes.to_devices({name: batch[name] for name in ("clip", *_KEPT)}, mesh)
            outputs = jax.device_get(outputs_of(variables, on_devices.pop("clip")))
            if not found.outputs.size:
                found = found._replace(outputs=np.zeros((len(source), outputs.shape[1]), np.float32))
            # What the rows of all processes are, in the order of the outputs.
            whole = _whole(on_devices)
            counts = whole["weight"] > 0
            rows = whole["index"][counts]
            np.add.at(found.outputs, rows, outputs[counts] / (views.clips * views.crops))
            found.labels[rows] = whole["label"][counts]
            found.decode_seconds[rows] = whole["seconds"][counts]
            found.seen[rows] = True
            bar.update()
    if not found.seen.any():
        raise SharedError(f"none of the {counted(len(source), 'video')} of {source.name} could be decoded.")
    return found


def _batches(
    source: ClipSource,
    options: ClipOptions,
    views: ViewOptions,
    features: CachedFeatures | None,
    host: tuple[int, int],
) -> grain.IterDataset:
    """Decodes this host's views, in batches of as many as `views` says, or reads features in their place."""
    if features is not None:
        return feature_views(*features, batch_size=views.batch_size, threads=views.threads, shard=host)
    return evaluation_batches(
        source,
        options,
        batch_size=views.batch_size,
        clips=views.clips,
        crops=views.crops,
        workers=views.workers,
        threads=views.threads,
        frame_order=views.frame_order,
        shard=host,
        corruption=views.corruption,
    )


def _whole(batch: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    """Gathers arrays that are split over all devices on this host; every process must call it."""
    gathered: dict[str, np.ndarray] = multihost_utils.process_allgather(batch, tiled=True)
    return gathered
