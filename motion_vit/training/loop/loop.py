"""The training loop: batches in, checkpoints and curves out; the same command continues where it stopped."""

import contextlib
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.batches.paired_batches import UNLABELLED
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.outside_text import for_terminal
from motion_vit.training.checkpoints.run_checkpoints import Checkpoints
from motion_vit.training.checkpoints.run_description import describe
from motion_vit.training.evaluation.evaluate import EvaluationStopped, ViewOptions, evaluate
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.features.run_features import (
    RunFeatures,
    check_encoder_weights,
    describe_run_features,
    open_run_features,
)
from motion_vit.training.logs.device_idle import DeviceIdle
from motion_vit.training.logs.metric_writer import MetricWriter
from motion_vit.training.logs.profiling import Profiler, profiled_steps
from motion_vit.training.logs.run_log import RunLog
from motion_vit.training.logs.startup import Startup
from motion_vit.training.logs.throughput import Throughput
from motion_vit.training.logs.tracked_run import TrackedRun
from motion_vit.training.logs.writers import METRICS_FILE, check_writers
from motion_vit.training.loop.early_stopping import EarlyStopping
from motion_vit.training.loop.first_state import first_state
from motion_vit.training.loop.load_teachers import describe_teachers, load_teachers
from motion_vit.training.loop.opening import opening, unlabelled_remark
from motion_vit.training.loop.plan import Plan
from motion_vit.training.loop.runtime_errors import RuntimeErrors
from motion_vit.training.loop.step_cache import StepCache
from motion_vit.training.loop.step_compilation import StepCompilation
from motion_vit.training.loop.stop_request import StopRequest
from motion_vit.training.loop.training_batches import RunBatches, training_batches
from motion_vit.training.loop.undecodable import Undecodable
from motion_vit.training.loop.workdir import (
    check_same_data,
    check_same_recipe,
    locked_workdir,
    prepare_workdir,
    wait_for_workdir,
)
from motion_vit.training.parallel.last_words import LastWords
from motion_vit.training.parallel.mesh import make_mesh
from motion_vit.training.parallel.processes import SharedError, errors_together, is_primary
from motion_vit.training.recipe.checks import validate, validate_fields
from motion_vit.training.recipe.clips import clip_options, open_sources, open_unlabelled_source
from motion_vit.training.recipe.config import to_json
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.training.step.program import TrainingProgram, build_program
from motion_vit.training.step.state import TrainState


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """The end of a run.

    Attributes:
      steps: steps done in all.
      completed: False if it was stopped before the last step; the same call continues it.
      validation: what was measured at the latest validation, such as `top1`; {} without one.
      clips_per_second: the median over the log lines of this call, None without one.
      undecodable: training videos that could not be decoded in this call.
    """

    steps: int
    completed: bool
    validation: Mapping[str, Any]
    clips_per_second: float | None
    undecodable: tuple[str, ...]

    @property
    def top1(self) -> float | None:
        """The latest validation accuracy, None without one."""
        return self.validation.get("top1")


def train(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    devices: Sequence[jax.Device] | None = None,
    max_steps: int | None = None,
    profile: bool = False,
    writers: Sequence[MetricWriter] = (),
    steps: StepCache | None = None,
) -> TrainingResult:
    """Trains the recipe's model, or continues the run that `workdir` holds.

    The workdir receives `recipe.json` (the whole recipe), `metrics.jsonl`, `checkpoints/` and `curves.png`, and what
    `log.writers` of the recipe names, such as `tensorboard/`. Ctrl-C or SIGTERM saves a checkpoint and stops; the same
    call continues with the next batch.

    Where several processes train together (see `motion_vit.training.parallel.processes`), all of them make the same
    call, with a workdir that all of them see; process 0 alone prints and writes logs.

    Args:
      config: the recipe.
      workdir: folder of the run.
      devices: devices to train on, all of all processes by default.
      max_steps: stop, with a checkpoint, after this many steps of this call, for jobs with a time limit.
      profile: whether to trace a few steps after warm-up, into `profile/`; process 0 traces its own devices.
      writers: further receivers of the metrics, in process 0, which are closed at the end. One that raises an exception
        is reported in a line and gets no more; the training goes on.
      steps: keeps traced steps for later calls, which then begin sooner; by default the step is traced.

    Returns:
      How it ended.

    Raises:
      UserError: the recipe, the data or the workdir cannot be used, the loss is not finite, a checkpoint cannot be
        written, or another process of the run is lost.
    """
    folder = local_path(workdir)
    startup = Startup()
    with errors_together():
        validate_fields(config)
        if is_primary():
            check_writers(config.log.writers)
        try:
            training, validation = open_sources(config)
            unlabelled = open_unlabelled_source(config, training.label_names)
        except UserError:
            validate(config)  # a mistake in the model is told first: a recipe is often tried before its data is there
            raise
        startup.end_phase("data")
        plan = Plan.of(config, training, unlabelled)
        _check_divides_among_processes(config)
        mesh = make_mesh(**config.mesh, devices=devices)
    teachers = load_teachers(config, training.label_names, mesh)
    with errors_together():
        program = build_program(
            config,
            mesh,
            clips_of_class=training.clips_of_class,
            total_steps=plan.total,
            steps_per_epoch=plan.steps_per_epoch,
            teachers=teachers,
        )
        features = open_run_features(config, program.model, training, validation)
        startup.end_phase("model")
    with contextlib.ExitStack() as stack:
        unlocked = ""
        with errors_together():
            if is_primary():
                unlocked = stack.enter_context(locked_workdir(folder))
                prepare_workdir(config, folder)
        check_same_recipe(config)
        check_same_data(training, validation, unlabelled, features)
        with errors_together():
            wait_for_workdir(folder)
        words = stack.enter_context(LastWords()) if jax.process_count() > 1 else None
        checkpoints = stack.enter_context(Checkpoints(folder, config.checkpoint.keep, config.checkpoint.best_metric))
        batches = stack.enter_context(contextlib.closing(training_batches(config, training, unlabelled, features)))
        compilation = StepCompilation(program, startup, steps)
        errors = RuntimeErrors(checkpoints, words)
        with errors.explained():
            state, origin = first_state(program, compilation, checkpoints, batches, training.label_names, plan.total)
            check_encoder_weights(features, program.model, state.variables)
            first = int(jax.device_get(state.step))
        last = plan.total if max_steps is None else min(first + max_steps, plan.total)
        throughput = Throughput.of(program.costs, program.model.dtype, program.mesh)
        local_devices = program.mesh.local_devices
        tracked = TrackedRun(folder, config.name, json.loads(to_json(config)))
        log = stack.enter_context(
            RunLog(
                tracked,
                first,
                plan.total,
                throughput,
                local_devices,
                names=config.log.writers,
                others=writers,
                active=is_primary(),
            )
        )
        remarks = [
            *(teacher.remark for teacher in teachers),
            *unlabelled_remark(config, unlabelled),
            *describe_run_features(features),
        ]
        log.line(opening(program, training, validation, plan, first, (unlocked, origin, *remarks)))
        profiled = profiled_steps(first, last) if profile and is_primary() else None
        profiler = stack.enter_context(Profiler(folder, profiled, log.line))
        run = Run(
            program,
            plan,
            training,
            unlabelled,
            validation,
            checkpoints,
            batches,
            errors,
            log,
            startup,
            compilation,
            features,
        )
        startup.end_phase("state")
        result = run.advance(state, last, profiler)
    if is_primary():
        # Matplotlib takes half a second to import, which the first step need not wait for.
        from motion_vit.training.logs.curves import CURVES_FILE, draw_curves

        draw_curves(folder / METRICS_FILE, folder / CURVES_FILE)
    return result


@dataclasses.dataclass(frozen=True)
class Run:
    """The parts of a run: program, data, checkpoints and log.

    Attributes:
      program: what the recipe compiles.
      plan: when things happen.
      training: clips to learn from.
      unlabelled: clips to learn from without labels, if there are any.
      validation: the validation clips, None to train without.
      checkpoints: takes the checkpoints.
      batches: endless stream of batches of these clips.
      errors: explains errors of JAX's runtime.
      log: takes lines and metrics.
      startup: the clock of the start, which began before these parts were made.
      compilation: that of the step, which began with them.
      features: what is read in the place of the clips, if anything is.
    """

    program: TrainingProgram
    plan: Plan
    training: ClipSource
    unlabelled: ClipSource | None
    validation: ClipSource | None
    checkpoints: Checkpoints
    batches: RunBatches
    errors: RuntimeErrors
    log: RunLog
    startup: Startup
    compilation: StepCompilation
    features: RunFeatures | None = None

    def advance(self, state: TrainState, last: int, profiler: Profiler) -> TrainingResult:
        """Trains until `last` steps are done or a signal asks to stop, and saves.

        Args:
          state: the state to start from; its memory is given up.
          last: number of the last step.
          profiler: traces some of the steps.

        Returns:
          How it ended.

        Raises:
          UserError: the loss is not finite, too many videos cannot be decoded, a checkpoint cannot be written, or
            another process is lost.
        """
        log, undecodable = self.log, self._undecodable()
        step = first = int(jax.device_get(state.step))
        validation = self.checkpoints.latest_validation()
        patience = EarlyStopping(**self.program.config.early_stopping)
        patience.restore(validation)
        running: Any = ()  # the loss of the step that was handed to the devices last
        with StopRequest() as stop, self.errors.explained(), contextlib.closing(DeviceIdle()) as idle:
            while step < last and not patience.ended and not stop.reached():
                step += 1
                with profiler.before_step(step, running):
                    asked = time.perf_counter()
                    batch = self._next_batch(state, step - 1)
                    # While the devices still work on the last step, waiting for data costs nothing.
                    waited = idle.seconds_since(asked)
                    if step == first + 1:
                        self.startup.end_phase("first batch")
                        compiling = self.compilation.finish()
                    inputs = self.program.to_devices(batch)
                    state, metrics = self.compilation.step(state, inputs, *self.program.inputs_beside)
                # One step may wait behind the one that runs: more would only hold batches.
                jax.block_until_ready(running)
                running = metrics["loss"]
                profiler.after_step(step, running)
                idle.watch(running)
                for each in undecodable:
                    each.look_through(batch)
                log.add_step(metrics, len(batch["index"]) * jax.process_count(), waited)
                if step == first + 1:
                    self._check_finite(step)
                    self.startup.end_phase("step")
                    log.line(self.startup.describe(compiling))

                due = self.plan.due(step, last)
                # Several processes tell each other only now and then; none may stop without the others.
                if any(due) or jax.process_count() == 1:
                    for each in undecodable:
                        for line in each.exchange():
                            log.line(line)
                        each.check()
                if any(due):
                    self._check_finite(step)
                if due.log:
                    log.write_steps(step, sum(len(each.names) for each in undecodable))
                    self.errors.update()
                if due.evaluation and self.validation is not None:
                    validation = self._evaluate_and_save(state, step, stop, patience) or validation
                elif due.evaluation or due.checkpoint:
                    self._save(state)
                if step == first + 1:
                    # From here on the pace is that of training, not of compilation.
                    log.start_clock()
            self._check_finite(step)
            self._save(state)
            self.checkpoints.wait()
        if patience.ended:
            log.line(f"step {step}/{self.plan.total}  {patience}")
        elif step < last:
            log.line(f"stopped after step {step}; saved. The same command continues.")
        return TrainingResult(
            steps=step,
            completed=patience.ended or step == self.plan.total,
            validation=validation,
            clips_per_second=log.clips_per_second,
            undecodable=tuple(name for each in undecodable for name in each.names),
        )

    def _undecodable(self) -> list[Undecodable]:
        """Makes what finds undecodable clips, of labelled and of unlabelled ones."""
        most = self.program.config.data.max_undecodable
        unlabelled = [] if self.unlabelled is None else [Undecodable(self.unlabelled, most, UNLABELLED)]
        return [Undecodable(self.training, most), *unlabelled]

    def _next_batch(self, state: TrainState, done: int) -> dict[str, np.ndarray]:
        """Reads a batch; where that fails for good, saves what was trained."""
        try:
            return next(self.batches)
        except UserError:
            if jax.process_count() == 1:  # others would wait for this one to save with them
                self._check_finite(done)
                self._save(state)
                self.checkpoints.wait()
            raise

    def _check_finite(self, step: int) -> None:
        """Stops the run if a step since the last check had a loss or gradient that is not finite.

        Such a step leaves the state as it was, so that nothing is spoiled until it is found here.
        """
        fetched = self.log.fetch()
        for number, metrics in enumerate(fetched, start=step - len(fetched) + 1):
            if not (math.isfinite(metrics["loss"]) and math.isfinite(metrics["grad_norm"])):
                raise SharedError(_not_finite(number, metrics, self.checkpoints.latest_step()))

    def _evaluate_and_save(
        self, state: TrainState, step: int, stop: StopRequest, patience: EarlyStopping
    ) -> dict[str, Any]:
        """Evaluates and saves; returns what was measured, nothing where somebody asks to stop meanwhile.

        A run that is stopped saves at once instead of evaluating, but for the last time, which no later call makes up
        for.
        """
        started = time.perf_counter()
        try:
            result = self._evaluate(state, stop if step < self.plan.total else None)
        except EvaluationStopped:
            self.log.line(f"step {step}/{self.plan.total}  validation left out, to save and stop")
            self._save(state)
            return {}
        except UserError:  # of all processes: what was trained is not to be lost for it
            self._save(state)
            raise
        measures = result.summary()
        self._log_evaluation(step, result, measures)
        measured = patience.add(measures)
        self._save(state, measured)
        self.log.leave_out(time.perf_counter() - started)
        return measured

    def _evaluate(self, state: TrainState, stop: StopRequest | None) -> Evaluation:
        if self.validation is None:
            raise ValueError("there is nothing to evaluate on")
        config, program = self.program.config, self.program
        cached = None if self.features is None else self.features.validation
        return evaluate(
            program.logits if cached is None or program.token_logits is None else program.token_logits,
            state.averaged_variables if config.evaluation.ema else state.variables,
            self.validation,
            clip_options(config),
            ViewOptions.of(config, workers=config.data.workers, threads=config.data.threads),
            mesh=program.mesh,
            evidence=trained_evidence(config),
            stopped=stop.reached if stop is not None else lambda: False,
            features=cached,
        )

    def _log_evaluation(self, step: int, result: Evaluation, measures: Mapping[str, float]) -> None:
        for name in result.skipped:
            self.log.line(f"skipped in validation, cannot be decoded: {for_terminal(name)}")
        skipped = f"  {counted(len(result.skipped), 'video')} skipped" if result.skipped else ""
        self.log.write_validation(step, measures, skipped)
        if warning := result.warning():
            self.log.line(warning)

    def _save(self, state: TrainState, validation: dict[str, Any] | None = None) -> None:
        if jax.device_get(state.step):
            description = describe(self.program.config, self.training) | describe_teachers(self.program.teachers)
            self.checkpoints.save(state, self.batches.get_state(), description, validation)
            self.errors.update()


def _check_divides_among_processes(config: ConfigDict) -> None:
    """Checks that the batch divides evenly among processes."""
    if config.batch_size % jax.process_count():
        raise UserError(
            f"config field batch_size is {config.batch_size}, but must be a multiple of the {jax.process_count()} "
            "processes of this run: each reads its own videos."
        )


def _not_finite(step: int, metrics: Mapping[str, float], saved: int | None) -> str:
    kept = "there is no checkpoint yet" if saved is None else f"the last good checkpoint is that of step {saved}"
    return (
        f"the loss is {metrics['loss']} and the gradient norm {metrics['grad_norm']} at step {step}, "
        f"at learning rate {metrics['learning_rate']:.3g}; training stops, {kept}. "
        "Try a lower optimizer.learning_rate, more optimizer.warmup_epochs or a smaller optimizer.clip_norm."
    )
