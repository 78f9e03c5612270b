"""A run in progress: its state, its place in the data, and what is done after a step."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any

import jax
from ml_collections import ConfigDict

from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.models.motion_blindness import describe_motion_blindness
from motion_vit.training.checkpoints.run_checkpoints import Checkpoints
from motion_vit.training.checkpoints.run_description import describe
from motion_vit.training.evaluation.evaluate import EvaluationStopped, ViewOptions, evaluate
from motion_vit.training.logs.device_idle import DeviceIdle
from motion_vit.training.logs.meter import Meter
from motion_vit.training.logs.profiling import Profiler
from motion_vit.training.logs.progress import Progress, step_line
from motion_vit.training.logs.throughput import Throughput
from motion_vit.training.logs.writers import Writers
from motion_vit.training.loop.initial_weights import start_from_weights
from motion_vit.training.loop.stop_request import StopRequest
from motion_vit.training.loop.undecodable import Undecodable
from motion_vit.training.parallel.last_words import LastWords
from motion_vit.training.parallel.processes import LostProcessError, SharedError, is_process_lost, shard
from motion_vit.training.recipe import clips as input_data
from motion_vit.training.step.program import TrainingProgram
from motion_vit.training.step.state import TrainState


@dataclasses.dataclass(frozen=True)
class Plan:
    """When things happen, in steps.

    Attributes:
      total: steps of the whole run.
      steps_per_epoch: full batches of the training set.
      evaluate_every: steps from one evaluation to the next.
    """

    total: int
    steps_per_epoch: int
    evaluate_every: int

    @classmethod
    def of(cls, config: ConfigDict, source: ClipSource) -> "Plan":
        """The plan of a recipe.

        Args:
          config: the recipe.
          source: the training clips.

        Returns:
          The plan.

        Raises:
          UserError: there are fewer clips than a batch takes.
        """
        steps_per_epoch = len(source) // config.batch_size
        if steps_per_epoch == 0:
            raise UserError(
                f"batch_size is {config.batch_size}, but {source.name} has only {len(source)} videos. "
                "Choose a smaller batch_size."
            )
        evaluate_every = max(round(config.evaluation.every_epochs * steps_per_epoch), 1)
        return cls(max(round(config.epochs * steps_per_epoch), 1), steps_per_epoch, evaluate_every)


class Run:
    """A run in progress, fresh or of the latest checkpoint.

    Args:
      program: what the recipe compiles.
      plan: when things happen.
      training: the training clips.
      validation: the validation clips, if there are any.
      checkpoints: where it continues from, and what it writes.
      words: takes what is to be said if this process is ended from outside; None to say nothing.

    Attributes:
      step: steps done.

    Raises:
      UserError: the checkpoint is of another model or of other data, or cannot be read.
    """

    def __init__(
        self,
        program: TrainingProgram,
        plan: Plan,
        training: ClipSource,
        validation: ClipSource | None,
        checkpoints: Checkpoints,
        words: LastWords | None,
    ) -> None:
        config = program.config
        self._undecodable = Undecodable(training, config.data.max_undecodable)
        self._config, self._program, self._plan = config, program, plan
        self._training, self._validation = training, validation
        self._checkpoints, self._words = checkpoints, words
        self._description = describe(config, training)
        self._batches = TrainingBatches(
            training,
            input_data.clip_options(config),
            batch_size=config.batch_size,
            seed=config.seed,
            workers=config.data.workers,
            threads=config.data.threads,
            shard=shard(),
            parts=config.accumulation,
        )
        self._origin = ""  # what is to be said about where the parameters come from
        with self._runtime_errors_told():
            self._state = self._first_state()
            self.step = int(self._state.step)
        self._running: dict[str, Any] | None = None  # metrics of the step that was handed to the devices last
        self._idle = DeviceIdle()
        throughput = Throughput.of(program.model, program.model.clip_shape, program.mesh)
        self._meter = Meter(throughput, program.mesh.local_devices)

    @property
    def undecodable(self) -> tuple[str, ...]:
        """The training videos that could not be decoded so far."""
        return self._undecodable.names

    def close(self) -> None:
        """Ends the processes that read data."""
        self._idle.close()
        self._batches.close()

    def _first_state(self) -> TrainState:
        """The state of the latest checkpoint, with the data at its place, or that before the first step."""
        step = self._checkpoints.agree_on_latest_step()
        if step is None and self._config.initial_weights:
            state, self._origin = start_from_weights(self._program, self._training.label_names)
            return state
        if step is None:
            return self._program.initial_state()
        restored = self._checkpoints.restore(self._program.abstract_state(), step)
        self._batches.set_state(restored.data_state)
        return restored.state

    def advance_to(self, last: int, writers: Writers, progress: Progress, profiler: Profiler) -> None:
        """Trains until `last` steps are done or a signal asks to stop, and saves.

        Args:
          last: number of the last step.
          writers: take the numbers.
          progress: takes the lines.
          profiler: traces some of the steps.

        Raises:
          UserError: the loss is not finite, too many videos cannot be decoded, a checkpoint cannot be written, or
            another process is lost.
        """
        progress.line(self._opening())
        with StopRequest() as stop, self._runtime_errors_told():
            started, first = time.perf_counter(), self.step + 1
            while self.step < last and not stop.reached():
                with profiler.step(self.step + 1):
                    self._start_step()
                progress.advance()
                if self.step == first:
                    self.settle()
                    progress.line(f"first step done after {time.perf_counter() - started:.1f} s")
                    progress.start_clock()
                self._after_step(last, writers, progress, stop)
                if self.step == first:
                    # From here on the pace is that of training, not of compilation.
                    self._meter.restart()
            self.settle()
            self._save()
            self._checkpoints.wait()
        if self.step < last:
            progress.line(f"stopped after step {self.step}; saved. The same command continues.")

    def _opening(self) -> str:
        plan, config, mesh = self._plan, self._config, self._program.mesh
        where = f"continues after step {self.step}" if self.step else "starts"
        clips = config.batch_size * config.augmentation.repeats
        processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
        opening = (
            f"{config.name} {where}: {config.model.name}, {len(self._training)} videos, "
            f"{len(self._training.label_names)} classes, {plan.total} steps of {clips} clips "
            f"({config.epochs:g} epoch{'' if config.epochs == 1 else 's'}) on "
            f"{mesh.size} x {mesh.devices.flat[0].device_kind}{processes}"
        )
        table = self._program.sharding_table() if mesh.size > 1 else ""
        blindness = describe_motion_blindness(self._program.model)
        return "\n".join(part for part in (opening, blindness, self._origin, table) if part)

    def _start_step(self) -> None:
        """Hands the next batch to the devices; the step before it is over when this returns."""
        asked = time.perf_counter()
        batch = next(self._batches)
        # While the devices still work on the last step, waiting for data costs nothing.
        waited = self._idle.seconds_since(asked)
        self._meter.add_batch(len(batch["index"]) * jax.process_count(), waited)
        self._undecodable.look_through(batch)
        self._state, metrics = self._program.step(self._state, self._program.to_devices(batch))
        self.settle()
        self._running = metrics
        self._idle.watch(metrics["loss"])
        self.step += 1

    def settle(self) -> None:
        """Waits for the last step whose metrics are outstanding, and takes them.

        Raises:
          UserError: they are not finite.
        """
        if self._running is None:
            return
        metrics = {name: float(value) for name, value in self._running.items()}
        self._running = None
        if not (math.isfinite(metrics["loss"]) and math.isfinite(metrics["grad_norm"])):
            saved = self._checkpoints.latest_step()
            kept = (
                "there is no checkpoint yet" if saved is None else f"the last good checkpoint is that of step {saved}"
            )
            raise SharedError(
                f"the loss is {metrics['loss']} and the gradient norm {metrics['grad_norm']} near step {self.step}, "
                f"at learning rate {metrics['learning_rate']:.3g}; training stops, {kept}. "
                "Try a lower optimizer.learning_rate, more optimizer.warmup_epochs or a smaller optimizer.clip_norm."
            )
        self._meter.add_metrics(metrics)

    def _after_step(self, last: int, writers: Writers, progress: Progress, stop: StopRequest) -> None:
        """Logs, evaluates and saves when it is time to.

        A run that is stopped saves at once instead of evaluating, but for the last time, which no later call makes up
        for.
        """
        step, config = self.step, self._config
        # A run that is shorter than the distance of two lines still shows how each epoch went.
        logs = step % min(config.log.every_steps, self._plan.steps_per_epoch) == 0 or step == last
        evaluates = step % self._plan.evaluate_every == 0 or step == self._plan.total
        saves = step % config.checkpoint.every_steps == 0
        if logs or evaluates or saves:
            self.settle()
        # Several processes tell each other only now and then; none may stop without the others.
        if logs or evaluates or saves or jax.process_count() == 1:
            self._undecodable.report(progress.line)
        if logs:
            self._log(writers, progress)
        if evaluates:
            started = time.perf_counter()
            try:
                top1 = self._evaluate(writers, progress, stop)
            except EvaluationStopped:
                progress.line(f"step {step}/{self._plan.total}  validation left out, to save and stop")
                self._save()
                return
            except UserError:  # of all processes: what was trained is not to be lost for it
                self._save()
                raise
            self._save(None if top1 is None else {"top1": top1})
            self._meter.leave_out(time.perf_counter() - started)
        elif saves:
            self._save()

    def _log(self, writers: Writers, progress: Progress) -> None:
        summary = self._meter.summary()
        writers.write(self.step, "train", {**summary, "undecodable": float(len(self.undecodable))})
        progress.line(step_line(self.step, self._plan.total, summary, progress.time_left()))
        self._change_words()
        self._meter.restart()

    def _evaluate(self, writers: Writers, progress: Progress, stop: StopRequest) -> float | None:
        """Evaluates on the validation list, if there is one; returns top-1."""
        if self._validation is None:
            return None
        settings = self._config.evaluation
        result = evaluate(
            self._program.model,
            self._state.averaged_variables if settings.ema else self._state.variables,
            self._validation,
            input_data.clip_options(self._config),
            self._program.normalization,
            ViewOptions(
                settings.batch_size,
                settings.clips,
                settings.crops,
                workers=self._config.data.workers,
                threads=self._config.data.threads,
            ),
            mesh=self._program.mesh,
            stopped=stop.reached if self.step < self._plan.total else lambda: False,
        )
        writers.write(self.step, "validation", {"top1": result.top1, "top5": result.top5})
        for name in result.skipped:
            progress.line(f"skipped in validation, cannot be decoded: {name}")
        skipped = f"  {len(result.skipped)} videos skipped" if result.skipped else ""
        progress.line(
            f"step {self.step}/{self._plan.total}  validation top-1 {100 * result.top1:.1f} %  "
            f"top-5 {100 * result.top5:.1f} %{skipped}"
        )
        if warning := result.warning():
            progress.line(warning)
        return result.top1

    def _save(self, validation: dict[str, float] | None = None) -> None:
        if self.step:
            self._checkpoints.save(self._state, self._batches.get_state(), self._description, validation)
            self._change_words()

    def _change_words(self) -> None:
        if self._words is not None:
            self._words.change(f"motion-vit: process {jax.process_index()}: {self._how_to_continue()}")

    def _how_to_continue(self) -> str:
        saved = self._checkpoints.saved_steps()
        where = f"continues from step {saved[-1]} or later" if saved else "starts from the beginning"
        return (
            "another process of this run has ended or cannot be reached, or this one was killed. Start all processes "
            f"again with the same command: it {where}."
        )

    @contextlib.contextmanager
    def _runtime_errors_told(self) -> Iterator[None]:
        """Says what to do when JAX runs out of memory, or finds out that another process is lost."""
        self._change_words()
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            reason = str(error).splitlines()[0]
            if "RESOURCE_EXHAUSTED" in reason:
                raise UserError(
                    f"the memory of the devices does not suffice: {reason}. Choose a smaller batch_size, remat "
                    "'matmuls' or 'blocks', or more accumulation; `motion-vit inspect CONFIG --topology local` says "
                    "what a step takes."
                ) from error
            if not is_process_lost(error):
                raise
            raise LostProcessError(f"{self._how_to_continue()} ({reason})") from error
