"""Compiles the training step beside whatever else a start has to do."""

import dataclasses
import time
from concurrent.futures import Future, ThreadPoolExecutor

import jax

from motion_vit.training.logs.startup import Startup
from motion_vit.training.loop.step_cache import StepCache
from motion_vit.training.step.program import TrainingProgram


class StepCompilation:
    """The compilation of a program's step, in a thread of its own from `begin` on.

    JAX keeps what it compiles, so that the first call of `step` finds it. The compiler leaves Python's lock to
    others: a checkpoint is restored, or parameters are drawn, and the first batch is read meanwhile. Tracing does not,
    and stays in the caller's thread, where the caller's settings of JAX hold.

    Attributes:
      step: the step, for when the compilation has ended.
    """

    def __init__(self, program: TrainingProgram, startup: Startup, cache: StepCache | None = None) -> None:
        self.step = program.step
        self._program = program
        self._startup = startup
        self._cache = cache
        self._seconds: Future[float] = Future()

    def begin(self) -> None:
        """Traces and lowers the step, or reads it from the cache of steps, and begins to compile it.

        Raises:
          UserError: as `TrainingProgram.step` at its first call.
        """
        self._startup.end_phase("state")
        if self._cache is not None:
            self.step = self._cache.step(self._program)
        lowered = dataclasses.replace(self._program, step=self.step).lower_step()
        self._startup.end_phase("trace")
        executor = ThreadPoolExecutor(1, thread_name_prefix="compilation")
        self._seconds = executor.submit(_compile, lowered)
        executor.shutdown(wait=False)  # a start that ends with an error says so before the compiler is done

    def finish(self) -> float:
        """Waits for the end of the compilation.

        Returns:
          The seconds of compiling, or of loading from the cache.

        Raises:
          jax.errors.JaxRuntimeError: the compiler refuses the step, such as for its memory.
        """
        seconds = self._seconds.result()
        self._startup.end_phase("wait for the compiler")
        return seconds


def _compile(lowered: jax.stages.Lowered) -> float:
    began = time.perf_counter()
    lowered.compile()
    return time.perf_counter() - began
