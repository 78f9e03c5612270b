"""Evaluates a checkpoint with the recipe that it was trained with."""

import dataclasses
import os
from typing import Any

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.open_source import open_source
from motion_vit.errors import UserError
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.checkpoints.weights_fingerprint import weights_fingerprint
from motion_vit.training.evaluation.evaluate import ViewOptions, evaluate, score_videos
from motion_vit.training.evaluation.open_set import OpenSet, check_unknown
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.evaluation.scored_videos import ScoredVideos
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.processes import errors_together
from motion_vit.training.recipe.clips import clip_options
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.zoo.load import as_trained


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CheckpointEvaluation(Evaluation):
    """The result of evaluating a checkpoint.

    Attributes:
      step: training steps of the checkpoint.
      which: whether the last or the best checkpoint was requested.
      ema: whether the averages of the parameters were evaluated.
      data: name of the videos' source.
      clips: clips of each video.
      crops: crops of each clip.
      frame_order: "normal", or the control.
      options: frames, size and sampling of a clip.
      open_set: how well the model tells unknown videos from these; None if none were given.
      corruption: what was done to the frames, or None.
    """

    step: int
    which: Which
    ema: bool
    data: str
    clips: int
    crops: int
    frame_order: FrameOrder
    options: ClipOptions
    open_set: OpenSet | None = None
    corruption: Corruption | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON, beginning with the checkpoint."""
        names = ("step", "which", "ema", "data", "clips", "crops", "frame_order")
        corrupted = {} if self.corruption is None else {"corruption": dataclasses.asdict(self.corruption)}
        unknown = {} if self.open_set is None else {"open_set": self.open_set.to_dict()}
        return {**{name: getattr(self, name) for name in names}, **corrupted, **super().to_dict(), **unknown}


def evaluate_checkpoint(
    checkpoint: TrainedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    which: Which = "last",
    ema: bool | None = None,
    clips: int | None = None,
    crops: int | None = None,
    frame_order: FrameOrder = "normal",
    batch_size: int | None = None,
    workers: int = 0,
    unknown: str | os.PathLike[str] | None = None,
    threshold_data: str | os.PathLike[str] | None = None,
    corruption: Corruption | None = None,
) -> CheckpointEvaluation:
    """Measures the accuracy of a checkpoint on labelled videos.

    Args:
      checkpoint: workdir of a training run, a weights folder, or a model loaded from one, which is compiled once for
        all evaluations of it.
      data: list file, prepared folder (its split `validation`) or FOLDER:SPLIT, whose labels must be among the
        checkpoint's; they are matched by name.
      which: of a workdir, the last checkpoint or the one of best validation accuracy.
      ema: of a workdir, whether to evaluate the averages of the parameters; the recipe's `evaluation.ema` by default.
      clips: clips of each video; the recipe's by default.
      crops: crops of each clip, 1 or 3; the recipe's by default.
      frame_order: "normal", or one of the controls.
      batch_size: views per batch; the recipe's by default.
      workers: number of processes that decode.
      unknown: videos of classes that the checkpoint does not know, as `data`: how well it tells them from the others.
      threshold_data: videos of its classes, as `data`, that 5 % of are to be called unknown, such as those that it was
        trained on; `data` itself by default.
      corruption: what is done to the frames of every clip; None leaves them as they are.

    Returns:
      Accuracies, the confusion matrix, and what was evaluated.

    Raises:
      UserError: there is no such checkpoint, the data cannot be used with it, or unknown videos are of its classes.
    """
    if threshold_data is not None and unknown is None:
        raise UserError("threshold data are for unknown videos, and none are given: name them, too, with --unknown.")
    mesh = meshes.data_mesh()
    trained = as_trained(checkpoint, which=which, ema=ema, mesh=mesh)
    with errors_together():
        source = open_source(data, default_split="validation", label_names=trained.label_names)
        others, references = _open_set_sources(trained.label_names, unknown, threshold_data)
    views = ViewOptions.of(
        trained.config,
        batch_size=batch_size,
        clips=clips,
        crops=crops,
        frame_order=frame_order,
        workers=workers,
        corruption=corruption,
    )
    options = clip_options(trained.config)
    evidence = trained_evidence(trained.config)
    model = trained.logits_function(mesh), trained.variables

    def score(videos: ClipSource | None) -> tuple[ScoredVideos | None, tuple[str, ...]]:
        if videos is None:
            return None, ()
        return score_videos(*model, videos, options, views, mesh=mesh, evidence=evidence)

    # First the sets that are likelier to be broken: nothing that was measured on the data is lost to them.
    of_unknown, skipped = score(others)
    reference, _ = score(references)
    result = evaluate(*model, source, options, views, mesh=mesh, evidence=evidence)
    open_set = None
    if of_unknown is not None:
        known = result.scored
        weights = weights_fingerprint(trained.variables)
        open_set = OpenSet(known, of_unknown, known if reference is None else reference, skipped, weights)
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return CheckpointEvaluation(
        **fields,
        step=trained.step,
        which=which,
        ema=trained.averaged,
        data=source.name,
        clips=views.clips,
        crops=views.crops,
        frame_order=frame_order,
        options=options,
        open_set=open_set,
        corruption=corruption,
    )


def _open_set_sources(
    label_names: tuple[str, ...], unknown: str | os.PathLike[str] | None, threshold_data: str | os.PathLike[str] | None
) -> tuple[ClipSource | None, ClipSource | None]:
    """Opens unknown videos and those that set the thresholds, where there are any."""
    if unknown is None:
        return None, None
    others = open_source(unknown, default_split="validation")
    check_unknown(others, label_names)
    if threshold_data is None:
        return others, None
    return others, open_source(threshold_data, default_split="train", label_names=label_names)
