"""The first lines of the log of a run."""

from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.augmentation.flips import describe_flip
from motion_vit.data.sources.class_imbalance import describe_imbalance
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.models.motion_blindness import describe_motion_blindness
from motion_vit.training.evaluation.intervals import few_videos_note
from motion_vit.training.loop.plan import Plan
from motion_vit.training.step.program import TrainingProgram


def opening(
    program: TrainingProgram,
    training: ClipSource,
    validation: ClipSource | None,
    plan: Plan,
    first: int,
    notes: Sequence[str],
) -> str:
    """Says what is trained on what, and what to know about it.

    Args:
      program: what the recipe compiles.
      training: clips to learn from.
      validation: the validation clips, None without any.
      plan: when things happen.
      first: steps that were done before.
      notes: further lines; "" for none.

    Returns:
      The first lines of the log.
    """
    config, mesh = program.config, program.mesh
    where = f"continues after step {first}" if first else "starts"
    clips = config.batch_size * config.augmentation.repeats
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    first_line = (
        f"{config.name} {where}: {config.model.name}, {counted(len(training), 'video')}, "
        f"{counted(len(training.label_names), 'class')}, {counted(plan.total, 'step')} of {counted(clips, 'clip')} "
        f"({config.epochs:g} epoch{'' if config.epochs == 1 else 's'}) on "
        f"{mesh.size} x {mesh.devices.flat[0].device_kind}{processes}"
    )
    table = program.sharding_table() if mesh.size > 1 else ""
    blindness = describe_motion_blindness(program.model)
    flip = describe_flip(config.augmentation.flip, training.label_names)
    doubts = _imbalance(config, training), _few_videos(validation)
    return "\n".join(part for part in (first_line, blindness, flip, *doubts, *notes, table) if part)


def _imbalance(config: ConfigDict, training: ClipSource) -> str:
    """Warns of very unequal classes, where nothing is done about them."""
    # Other sources than these would have to read all their records to count.
    counts = training.clips_of_class
    if not isinstance(counts, tuple) or config.data.class_balance or config.loss.name == "class_weighted":
        return ""
    sentence = describe_imbalance(training.label_names, counts)
    return f"warning: {sentence}" if sentence else ""


def _few_videos(validation: ClipSource | None) -> str:
    """Warns of so few validation videos that chance decides which checkpoint is the best."""
    note = "" if validation is None else few_videos_note(len(validation))
    return f"warning: in validation, {note}" if note else ""


def unlabelled_remark(config: ConfigDict, unlabelled: ClipSource | None) -> list[str]:
    """Says what is learned from beside the labelled videos: a line, or none.

    Args:
      config: the recipe.
      unlabelled: clips without labels, if there are any.
    """
    if unlabelled is None:
        return []
    videos, fields = counted(len(unlabelled), "unlabelled video"), config.unlabelled
    return [f"learns from {videos}, {config.batch_size * fields.per_labelled} in a step, by {fields.method}"]
