"""The training loop: batches in, checkpoints and curves out, and the same command continues where it stopped."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.training.checkpoints.run_checkpoints import Checkpoints
from motion_vit.training.logs.profiling import Profiler, profiled_steps
from motion_vit.training.logs.progress import Progress
from motion_vit.training.logs.writers import METRICS_FILE, Writers, read_json_lines
from motion_vit.training.loop.loop import Plan, Run
from motion_vit.training.loop.workdir import check_same_data, check_same_recipe, prepare_workdir, wait_for_workdir
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.parallel.last_words import LastWords
from motion_vit.training.parallel.processes import errors_together, is_primary
from motion_vit.training.recipe import clips as input_data
from motion_vit.training.recipe.checks import validate
from motion_vit.training.step.program import TrainingProgram, build_program


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
      steps: steps done in all.
      completed: False if it was stopped before the last step; the same call continues it.
      top1: the latest validation accuracy, None without one.
      clips_per_second: the median over the log lines, None without one.
      undecodable: training videos that could not be decoded in this call.
    """

    steps: int
    completed: bool
    top1: float | None
    clips_per_second: float | None
    undecodable: tuple[str, ...]


def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    devices: Sequence[jax.Device] | None = None,
    max_steps: int | None = None,
    profile: bool = False,
) -> TrainingResult:
    """Trains the recipe's model, or continues the run that `workdir` holds.

    The workdir receives `recipe.json` (the whole recipe), `metrics.jsonl`, `tensorboard/`, `checkpoints/` and
    `curves.png`. Ctrl-C or SIGTERM saves a checkpoint and stops; the same call continues with the next batch.

    Where several processes train together (see `motion_vit.training.parallel.processes`), all of them make the same
    call, with a workdir that all of them see; process 0 alone prints and writes logs.

    Args:
      config: the recipe.
      workdir: folder of the run.
      devices: devices to train on, all of all processes by default.
      max_steps: stop, with a checkpoint, after this many steps of this call, for jobs with a time limit.
      profile: whether to trace a few steps after warm-up, into `profile/`; process 0 traces its own devices.

    Returns:
      How it ended.

    Raises:
      UserError: the recipe, the data or the workdir cannot be used, the loss is not finite, a checkpoint cannot be
        written, or another process of the run is lost.
    """
    folder = pathlib.Path(workdir)
    with errors_together():
        validate(config)
        training, validation = input_data.open_sources(config)
        plan = Plan.of(config, training)
        _check_divides_among_processes(config)
        program = _program(config, devices, training, plan)
        if is_primary():
            prepare_workdir(config, folder)
    check_same_recipe(config)
    check_same_data(training, validation)
    with errors_together():
        wait_for_workdir(folder)
    with contextlib.ExitStack() as stack:
        words = stack.enter_context(LastWords()) if jax.process_count() > 1 else None
        checkpoints = stack.enter_context(Checkpoints(folder, config.checkpoint.keep))
        run = stack.enter_context(contextlib.closing(Run(program, plan, training, validation, checkpoints, words)))
        last = plan.total if max_steps is None else min(run.step + max_steps, plan.total)
        writers = stack.enter_context(Writers(folder, run.step, active=is_primary()))
        progress = stack.enter_context(Progress(run.step, plan.total, shown=is_primary()))
        steps = profiled_steps(run.step, last) if profile and is_primary() else None
        profiler = stack.enter_context(Profiler(folder, steps, run.settle, progress.line))
        run.advance_to(last, writers, progress, profiler)
    if is_primary():
        # Matplotlib takes half a second to import, which the first step need not wait for.
        from motion_vit.training.logs.curves import CURVES_FILE, draw_curves

        draw_curves(folder / METRICS_FILE, folder / CURVES_FILE)
    return _result(folder, run, plan)


def _check_divides_among_processes(config: ConfigDict) -> None:
    """Refuses a batch of which the processes cannot read equal parts."""
    if config.batch_size % jax.process_count():
        raise UserError(
            f"config field batch_size is {config.batch_size}, but must be a multiple of the {jax.process_count()} "
            "processes of this run: each reads its own videos."
        )


def _program(
    config: ConfigDict, devices: Sequence[jax.Device] | None, training: ClipSource, plan: Plan
) -> TrainingProgram:
    """The recipe's program on its devices."""
    return build_program(
        config,
        meshes.make_mesh(**config.mesh, devices=devices),
        num_classes=len(training.label_names),
        total_steps=plan.total,
        steps_per_epoch=plan.steps_per_epoch,
    )


def _result(folder: pathlib.Path, run: Run, plan: Plan) -> TrainingResult:
    records = read_json_lines(folder / METRICS_FILE)
    top1 = [float(record["top1"]) for record in records if record["split"] == "validation"]
    pace = [float(record["clips_per_second"]) for record in records if record["split"] == "train"]
    return TrainingResult(
        steps=run.step,
        completed=run.step == plan.total,
        top1=top1[-1] if top1 else None,
        clips_per_second=float(np.median(pace)) if pace else None,
        undecodable=run.undecodable,
    )
