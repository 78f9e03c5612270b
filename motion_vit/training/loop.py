"""The training loop: batches in, checkpoints and curves out, and the same command continues where it stopped."""

import contextlib
import dataclasses
import math
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit.data.clip_source import ClipSource
from motion_vit.data.training_batches import TrainingBatches
from motion_vit.errors import UserError
from motion_vit.training import input_data
from motion_vit.training import mesh as meshes
from motion_vit.training.checkpointing import Checkpoints, describe
from motion_vit.training.clip_augmentation import clip_augmentation
from motion_vit.training.config_validation import build_model, validate
from motion_vit.training.curves import CURVES_FILE, draw_curves
from motion_vit.training.evaluation import ViewOptions, evaluate
from motion_vit.training.meter import Meter
from motion_vit.training.normalization import normalization
from motion_vit.training.optimizer import learning_rate_schedule, make_optimizer
from motion_vit.training.progress import Progress
from motion_vit.training.step import make_train_step
from motion_vit.training.stop_request import StopRequest
from motion_vit.training.train_state import TrainState, abstract_state, initial_state_on
from motion_vit.training.undecodable import Undecodable
from motion_vit.training.workdir import prepare_workdir
from motion_vit.training.writers import METRICS_FILE, Writers, read_json_lines


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


@dataclasses.dataclass(frozen=True)
class _Plan:
    """When things happen, in steps."""

    total: int
    steps_per_epoch: int
    evaluate_every: int

    @classmethod
    def of(cls, config: ConfigDict, source: ClipSource) -> "_Plan":
        """The plan of a recipe for a training set; an epoch has as many steps as it has full batches."""
        steps_per_epoch = len(source) // config.batch_size
        if steps_per_epoch == 0:
            raise UserError(
                f"batch_size is {config.batch_size}, but {source.name} has only {len(source)} videos. "
                "Choose a smaller batch_size."
            )
        evaluate_every = max(round(config.evaluation.every_epochs * steps_per_epoch), 1)
        return cls(max(round(config.epochs * steps_per_epoch), 1), steps_per_epoch, evaluate_every)


def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    devices: Sequence[jax.Device] | None = None,
    max_steps: int | None = None,
) -> TrainingResult:
    """Trains the recipe's model, or continues the run that `workdir` holds.

    The workdir receives `config.json` (the whole recipe), `metrics.jsonl`, `tensorboard/`, `checkpoints/` and
    `curves.png`. Ctrl-C saves a checkpoint and stops; the same call continues with the next batch.

    Args:
      config: the recipe.
      workdir: folder of the run.
      devices: devices to train on, all by default.
      max_steps: stop, with a checkpoint, after this many steps of this call, for jobs with a time limit.

    Returns:
      How it ended.

    Raises:
      UserError: the recipe, the data or the workdir cannot be used, or the loss is not finite.
    """
    validate(config)
    mesh = meshes.data_mesh(devices)
    meshes.check_divides(config.batch_size, mesh, "batch_size")
    clip_augmentation(config).check_batch_size(config.batch_size * config.augmentation.repeats, mesh.size)
    folder = pathlib.Path(workdir)
    training, validation = input_data.open_sources(config)
    plan = _Plan.of(config, training)
    prepare_workdir(config, folder)
    with Checkpoints(folder, config.checkpoint.keep) as checkpoints:
        run = _Run(config, mesh, plan, training, validation, checkpoints)
        last = plan.total if max_steps is None else min(run.step + max_steps, plan.total)
        with (
            contextlib.closing(run),
            Writers(folder, run.step) as writers,
            Progress(run.step, plan.total) as progress,
        ):
            run.advance_to(last, writers, progress)
    draw_curves(folder / METRICS_FILE, folder / CURVES_FILE)
    return _result(folder, run, plan)


class _Run:
    """A run in progress: its state, its place in the data, and what is done after a step."""

    def __init__(
        self,
        config: ConfigDict,
        mesh: Mesh,
        plan: _Plan,
        training: ClipSource,
        validation: ClipSource | None,
        checkpoints: Checkpoints,
    ) -> None:
        self._undecodable = Undecodable(training, config.data.max_undecodable)
        self._config, self._mesh, self._plan = config, mesh, plan
        self._training, self._validation, self._checkpoints = training, validation, checkpoints
        self._description = describe(config, training)
        self._model = build_model(config, len(training.label_names))
        schedule = learning_rate_schedule(config, plan.total, plan.steps_per_epoch)
        self._optimizer = make_optimizer(config, schedule)
        self._normalization = normalization(config)
        self._train_step = make_train_step(
            self._model,
            self._optimizer,
            schedule,
            self._normalization,
            config.label_smoothing,
            mesh,
            clip_augmentation(config),
        )
        self._initial_key, self._step_key = jax.random.split(jax.random.key(config.seed))
        self._batches = TrainingBatches(
            training,
            input_data.clip_options(config),
            batch_size=config.batch_size,
            seed=config.seed,
            workers=config.data.workers,
            threads=config.data.threads,
        )
        self._state = self._first_state()
        self.step = int(self._state.step)
        self._running: dict[str, Any] | None = None  # metrics of the step that was handed to the devices last
        self._meter = Meter()

    @property
    def undecodable(self) -> tuple[str, ...]:
        """The training videos that could not be decoded so far."""
        return self._undecodable.names

    def close(self) -> None:
        """Ends the processes that read data."""
        self._batches.close()

    def _first_state(self) -> TrainState:
        """The state of the latest checkpoint, with the data at its place, or a fresh one."""
        shape = (self._config.data.frames, self._config.data.size, self._config.data.size, 3)
        if self._checkpoints.latest_step() is None:
            return initial_state_on(self._mesh, self._model, self._optimizer, self._initial_key, shape)
        restored = self._checkpoints.restore_latest(abstract_state(self._mesh, self._model, self._optimizer, shape))
        self._batches.set_state(restored.data_state)
        return restored.state

    def advance_to(self, last: int, writers: Writers, progress: Progress) -> None:
        """Trains until `last` steps are done or a signal asks to stop, and saves."""
        progress.line(self._opening())
        first = self.step
        started = time.perf_counter()
        with StopRequest() as stop:
            while self.step < last and not stop.requested:
                self._start_step(progress)
                progress.advance()
                if self.step == first + 1:
                    self._settle()
                    progress.line(f"first step done after {time.perf_counter() - started:.1f} s")
                    progress.restart_clock()
                self._after_step(last, writers, progress)
                if self.step == first + 1:
                    # From here on the pace is that of training, not of compilation.
                    self._meter.restart()
            self._settle()
            self._save()
        if stop.requested and self.step < last:
            progress.line(f"stopped after step {self.step}; saved. The same command continues.")

    def _opening(self) -> str:
        plan, config = self._plan, self._config
        where = f"continues after step {self.step}" if self.step else "starts"
        clips = config.batch_size * config.augmentation.repeats
        return (
            f"{config.name} {where}: {config.model.name}, {len(self._training)} videos, "
            f"{len(self._training.label_names)} classes, {plan.total} steps of {clips} clips "
            f"({config.epochs:g} epochs) on {self._mesh.size} x {self._mesh.devices.flat[0].device_kind}"
        )

    def _start_step(self, progress: Progress) -> None:
        """Hands the next batch to the devices; the step before it is over when this returns."""
        asked = time.perf_counter()
        batch = next(self._batches)
        # While the devices still work on the last step, waiting for data costs nothing.
        idle = self._running is None or self._running["loss"].is_ready()
        self._meter.add_batch(len(batch["index"]), time.perf_counter() - asked if idle else 0.0)
        for line in self._undecodable.found_in(batch):
            progress.line(line)
        inputs = {name: batch[name] for name in ("clip", "label", "weight")}
        self._state, metrics = self._train_step(self._state, meshes.to_devices(inputs, self._mesh), self._step_key)
        self._settle()
        self._running = metrics
        self.step += 1

    def _settle(self) -> None:
        """Waits for the last step whose metrics are outstanding, and takes them."""
        if self._running is None:
            return
        metrics = {name: float(value) for name, value in self._running.items()}
        self._running = None
        if not (math.isfinite(metrics["loss"]) and math.isfinite(metrics["grad_norm"])):
            saved = self._checkpoints.latest_step()
            kept = (
                "there is no checkpoint yet" if saved is None else f"the last good checkpoint is that of step {saved}"
            )
            raise UserError(
                f"the loss is {metrics['loss']} and the gradient norm {metrics['grad_norm']} near step {self.step}, "
                f"at learning rate {metrics['learning_rate']:.3g}; training stops, {kept}. "
                "Try a lower optimizer.learning_rate, more optimizer.warmup_epochs or a smaller optimizer.clip_norm."
            )
        self._meter.add_metrics(metrics)

    def _after_step(self, last: int, writers: Writers, progress: Progress) -> None:
        """Logs, evaluates and saves when it is time to."""
        step, config = self.step, self._config
        evaluates = step % self._plan.evaluate_every == 0 or step == self._plan.total
        if step % config.log.every_steps == 0 or step == last:
            self._settle()
            self._log(writers, progress)
        if evaluates:
            self._settle()
            top1 = self._evaluate(writers, progress)
            self._save(None if top1 is None else {"top1": top1})
            self._meter.restart()
        elif step % config.checkpoint.every_steps == 0:
            self._settle()
            self._save()

    def _log(self, writers: Writers, progress: Progress) -> None:
        summary = self._meter.summary()
        writers.write(self.step, "train", {**summary, "undecodable": float(len(self._undecodable.names))})
        progress.line(
            f"step {self.step}/{self._plan.total}  loss {summary['loss']:.4f}  top-1 {100 * summary['top1']:.1f} %  "
            f"lr {summary['learning_rate']:.2e}  grad norm {summary['grad_norm']:.2f}  "
            f"{summary['clips_per_second']:.1f} clips/s  waiting for data {100 * summary['waiting_for_data']:.0f} %  "
            f"{progress.time_left()} left"
        )
        self._meter.restart()

    def _evaluate(self, writers: Writers, progress: Progress) -> float | None:
        """Evaluates on the validation list, if there is one; returns top-1."""
        if self._validation is None:
            return None
        settings = self._config.evaluation
        result = evaluate(
            self._model,
            self._state.variables,
            self._validation,
            input_data.clip_options(self._config),
            self._normalization,
            ViewOptions(
                settings.batch_size,
                settings.clips,
                settings.crops,
                workers=self._config.data.workers,
                threads=self._config.data.threads,
            ),
            mesh=self._mesh,
        )
        writers.write(self.step, "validation", {"top1": result.top1, "top5": result.top5})
        for name in result.skipped:
            progress.line(f"skipped in validation, cannot be decoded: {name}")
        skipped = f"  {len(result.skipped)} videos skipped" if result.skipped else ""
        progress.line(
            f"step {self.step}/{self._plan.total}  validation top-1 {100 * result.top1:.1f} %  "
            f"top-5 {100 * result.top5:.1f} %{skipped}"
        )
        return result.top1

    def _save(self, validation: dict[str, float] | None = None) -> None:
        if self.step:
            self._checkpoints.save(self._state, self._batches.get_state(), self._description, validation)


def _result(folder: pathlib.Path, run: _Run, plan: _Plan) -> TrainingResult:
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
