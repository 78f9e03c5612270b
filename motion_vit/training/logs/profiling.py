"""Traces a few training steps, to show the work of the devices and the host."""

import pathlib
import types
from collections.abc import Callable
from typing import Any

import jax

PROFILE_FOLDER = "profile"

# Steps that are not traced at the start: compilation, filling queues and allocating memory are past by then.
WARM_UP_STEPS = 10
# Steps that are traced: enough to see whether one is like the next; traces grow fast.
PROFILED_STEPS = 3

# The name of a step in the trace, by which XProf finds the steps.
STEP_NAME = "train"


class Profiler:
    """Traces some steps of a run; a context manager around all its steps.

    Args:
      workdir: folder of the run; the trace goes to `profile/` in it.
      steps: numbers of the steps to trace, of `profiled_steps`; None to trace none.
      report: prints a line.
    """

    def __init__(self, workdir: pathlib.Path, steps: range | None, report: Callable[[str], None]) -> None:
        self._folder = workdir / PROFILE_FOLDER
        self._steps = steps
        self._report = report
        self._traced: list[int] = []

    def __enter__(self) -> "Profiler":
        """Reports if a trace is requested and no step is left for it; tracing starts with its first step."""
        if self._steps is not None and not self._steps:
            self._report("no profile: too few steps are left to trace one after compilation")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: types.TracebackType | None
    ) -> None:
        """Ends and keeps a trace that the end of the run cuts short."""
        if self._traced:
            self._stop()

    def before_step(self, number: int, running: Any) -> jax.profiler.StepTraceAnnotation:
        """Starts the trace where it is time to.

        Args:
          number: number of the step, from 1.
          running: outputs of the step before, which a trace waits for, so that it has the work of its steps alone.

        Returns:
          The mark of the step in the trace: a context manager around handing the step to the devices.
        """
        if self._steps is not None and number in self._steps:
            if not self._traced:
                jax.block_until_ready(running)
                self._start()
            self._traced.append(number)
        return jax.profiler.StepTraceAnnotation(STEP_NAME, step_num=number)

    def after_step(self, number: int, running: Any) -> None:
        """Ends the trace where it is time to.

        Args:
          number: number of the step, from 1.
          running: its outputs, which the trace waits for.
        """
        if self._traced and self._steps is not None and number == self._steps[-1]:
            jax.block_until_ready(running)
            self._stop()

    def _start(self) -> None:
        options = jax.profiler.ProfileOptions()
        # Python's calls are left out: those of the threads that decode would bury the steps.
        options.python_tracer_level = 0
        jax.profiler.start_trace(self._folder, profiler_options=options)

    def _stop(self) -> None:
        jax.profiler.stop_trace()
        traces = sorted(self._folder.glob("plugins/profile/*/*.trace.json.gz"))
        self._report(f"profile of steps {self._traced[0]} to {self._traced[-1]}: {self._folder}")
        self._report(f"  pip install xprof; xprof --logdir {self._folder}  (or TensorBoard with its profile plugin)")
        for trace in traces[-1:]:
            self._report(f"  or open {trace} in https://ui.perfetto.dev")
        self._traced = []


def profiled_steps(done: int, last: int) -> range:
    """Chooses the steps of a call to trace: the first ones after warm-up, or the last ones of a short call.

    Args:
      done: steps done before the call.
      last: last step of the call.

    Returns:
      Numbers of steps, from 1; empty if the call has a single step, the one that compiles.
    """
    first = min(done + WARM_UP_STEPS + 1, last - PROFILED_STEPS + 1)
    first = max(first, done + 2)
    return range(first, min(first + PROFILED_STEPS, last + 1))
