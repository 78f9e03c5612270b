"""Evaluates a checkpoint with the recipe that it was trained with."""

import dataclasses
import os
from typing import Any

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.clip_sampling import FrameOrder
from motion_vit.data.corruptions.corruption import Corruption
from motion_vit.data.sources.open_source import open_source
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.evaluation.evaluate import ViewOptions, evaluate
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.processes import errors_together
from motion_vit.training.recipe.clips import clip_options
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
    corruption: Corruption | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON, beginning with the checkpoint."""
        names = ("step", "which", "ema", "data", "clips", "crops", "frame_order")
        corrupted = {} if self.corruption is None else {"corruption": dataclasses.asdict(self.corruption)}
        return {**{name: getattr(self, name) for name in names}, **corrupted, **super().to_dict()}


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
      corruption: what is done to the frames of every clip; None leaves them as they are.

    Returns:
      Accuracies, the confusion matrix, and what was evaluated.

    Raises:
      UserError: there is no such checkpoint, or the data cannot be used with it.
    """
    mesh = meshes.data_mesh()
    trained = as_trained(checkpoint, which=which, ema=ema, mesh=mesh)
    with errors_together():
        source = open_source(data, default_split="validation", label_names=trained.label_names)
    settings = trained.config.evaluation
    views = ViewOptions(
        batch_size=batch_size or settings.batch_size,
        clips=clips or settings.clips,
        crops=crops or settings.crops,
        frame_order=frame_order,
        workers=workers,
        corruption=corruption,
    )
    options = clip_options(trained.config)
    result = evaluate(trained.logits_function(mesh), trained.variables, source, options, views, mesh=mesh)
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
        corruption=corruption,
    )
