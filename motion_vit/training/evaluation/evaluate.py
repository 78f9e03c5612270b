"""Measures a model's accuracy on a list of videos, with several views of each.

With several processes, each decodes its own part of the videos, and all get the whole result.
"""

import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int

from motion_vit.counts import counted
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.data.batches.evaluation_batches import evaluation_batches
from motion_vit.data.sources.clip_source import ClipSource, clip_name
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.files.atomic_file import make_folder, write_text
from motion_vit.outside_text import for_terminal
from motion_vit.training.evaluation import metrics
from motion_vit.training.inference.ranking import finite_rows
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.processes import SharedError, is_primary, shard
from motion_vit.training.step.train_step import LogitsFunction

# A model that has diverged gives no finite logits for any video: the report holds them all, a message some.
_NAMED_VIDEOS = 3


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
    """

    batch_size: int = 32
    clips: int = 1
    crops: int = 1
    frame_order: FrameOrder = "normal"
    workers: int = 0
    threads: int = 0


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation. Accuracies are over the videos that could be decoded.

    Attributes:
      label_names: name of each class.
      confusion: counts, true classes as rows; the last column counts videos without a predicted class.
      top1: share of videos whose largest logit is right.
      top5: share of videos whose label is among the five largest logits.
      skipped: videos that could not be decoded.
      not_finite: videos with NaN or infinite logits, which count as wrong.
      seconds: duration of the evaluation.
      clips_per_second: views evaluated per second by all processes, decoding included.
    """

    label_names: tuple[str, ...]
    confusion: Int[np.ndarray, "classes columns"]
    top1: float
    top5: float
    skipped: tuple[str, ...]
    not_finite: tuple[str, ...]
    seconds: float
    clips_per_second: float

    @property
    def videos(self) -> int:
        """Number of evaluated videos."""
        return int(self.confusion.sum())

    @property
    def per_class(self) -> Float[np.ndarray, " classes"]:
        """Accuracy of each class, NaN for a class without videos."""
        return metrics.per_class_accuracy(self.confusion)

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON; the accuracy of a class without videos is null."""
        accuracies = zip(self.label_names, self.per_class.tolist(), strict=True)
        return {
            "videos": self.videos,
            "top1": self.top1,
            "top5": self.top5,
            "per_class": {name: None if math.isnan(value) else value for name, value in accuracies},
            "skipped": list(self.skipped),
            "not_finite": list(self.not_finite),
            "clips_per_second": self.clips_per_second,
        }

    def warning(self) -> str:
        """Returns a sentence about videos with NaN or infinite logits; "" if there are none."""
        if not self.not_finite:
            return ""
        some = ", ".join(map(for_terminal, self.not_finite[:_NAMED_VIDEOS]))
        more = ", ..." if len(self.not_finite) > _NAMED_VIDEOS else ""
        count = f"{len(self.not_finite)} of {counted(self.videos, 'video')}"
        return f"{count} have NaN or infinite logits and count as wrong: {some}{more}"


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
    stopped: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Evaluates a model; sums the logits of a video's views.

    Args:
      logits_of: the model's logits, of `make_logits_function`.
      variables: the model's variables, on the mesh.
      source: the videos, with the model's label names.
      options: frames, size and sampling of a clip.
      views: views of each video.
      mesh: devices that batches are split over.
      stopped: called before each batch; True stops. All processes must get the same answers.

    Returns:
      Accuracies and the confusion matrix.

    Raises:
      UserError: no video could be decoded.
      EvaluationStopped: `stopped` returned True.
    """
    start = time.perf_counter()
    logits, labels, seen = _summed_logits(logits_of, variables, source, options, views, mesh, stopped)
    seconds = time.perf_counter() - start
    if not seen.any():
        raise SharedError(f"none of the {counted(len(seen), 'video')} of {source.name} could be decoded.")
    classes = len(source.label_names)
    return Evaluation(
        label_names=source.label_names,
        confusion=metrics.confusion_matrix(labels[seen], metrics.predicted_classes(logits[seen]), classes),
        top1=metrics.top_k_accuracy(logits[seen], labels[seen], 1),
        top5=metrics.top_k_accuracy(logits[seen], labels[seen], 5),
        skipped=tuple(clip_name(source, int(row)) for row in np.flatnonzero(~seen)),
        not_finite=tuple(clip_name(source, int(row)) for row in np.flatnonzero(seen & ~finite_rows(logits))),
        seconds=seconds,
        clips_per_second=int(seen.sum()) * views.clips * views.crops / seconds,
    )


def _summed_logits(
    logits_of: LogitsFunction,
    variables: Any,
    source: ClipSource,
    options: ClipOptions,
    views: ViewOptions,
    mesh: Mesh,
    stopped: Callable[[], bool],
) -> tuple[Float[np.ndarray, "n classes"], Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Returns the summed logits of each video, its label, and whether it could be decoded."""
    number, processes = shard()
    parts = math.lcm(meshes.batch_parts(mesh), processes)
    batch_size = -(-views.batch_size // parts) * parts
    batches = evaluation_batches(
        source,
        options,
        batch_size=batch_size // processes,
        clips=views.clips,
        crops=views.crops,
        workers=views.workers,
        threads=views.threads,
        frame_order=views.frame_order,
        shard=(number, processes),
    )
    logits = np.zeros((len(source), len(source.label_names)), np.float32)
    labels = np.zeros(len(source), np.int32)
    seen = np.zeros(len(source), bool)
    count = math.ceil(len(source) * views.clips * views.crops / batch_size)
    with progress_bar(count, "evaluating", "batch", leave=False, shown=is_primary()) as bar:
        for batch in batches:
            if stopped():
                raise EvaluationStopped
            on_devices = meshes.to_devices({name: batch[name] for name in ("clip", "label", "weight", "index")}, mesh)
            outputs = jax.device_get(logits_of(variables, on_devices.pop("clip")))
            # What the rows of all processes are, in the order of the logits.
            whole = _whole(on_devices)
            counts = whole["weight"] > 0
            rows = whole["index"][counts]
            np.add.at(logits, rows, outputs[counts])
            labels[rows] = whole["label"][counts]
            seen[rows] = True
            bar.update()
    return logits, labels, seen


def _whole(batch: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    """Gathers arrays that are split over all devices on this host; every process must call it."""
    gathered: dict[str, np.ndarray] = multihost_utils.process_allgather(batch, tiled=True)
    return gathered


def write_report(evaluation: Evaluation, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Writes an evaluation to files.

    Args:
      evaluation: the result.
      folder: created if missing.

    Returns:
      The files: `report` (JSON), `table` (CSV) and `picture` (PNG) of the confusion matrix.

    Raises:
      UnwritableError: one of them cannot be written.
    """
    # Matplotlib takes half a second to import, which training need not wait for.
    from motion_vit.training.evaluation.confusion import draw_confusion, write_confusion_csv

    make_folder(folder)
    files = {
        "report": folder / "evaluation.json",
        "table": folder / "confusion.csv",
        "picture": folder / "confusion.png",
    }
    write_text(files["report"], json.dumps(evaluation.to_dict(), indent=2) + "\n")
    write_confusion_csv(evaluation.confusion, evaluation.label_names, files["table"])
    draw_confusion(evaluation.confusion, evaluation.label_names, files["picture"])
    return files
