"""Measures the phases of a start: what the time until the end of the first step is spent on."""

import time
import types

import jax

# JAX's names of these events. Traces of inner functions are within that of the step, which is the longest.
_TRACE = "/jax/core/compile/jaxpr_trace_duration"
_LOWER = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILE = "/jax/core/compile/backend_compile_duration"


class Startup:
    """A clock of the phases of a start, from its making to the first step; a context manager around them."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._phases: dict[str, float] = {}
        self._compiler: dict[str, list[float]] = {}

    def __enter__(self) -> "Startup":
        """Listens to what JAX tells about its compiler."""
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: types.TracebackType | None
    ) -> None:
        """Listens no more."""
        jax.monitoring.unregister_event_duration_listener(self._listen)

    def end_phase(self, name: str) -> None:
        """Counts the time since the last phase ended for a phase.

        Args:
          name: of the phase that ends now.
        """
        now = time.perf_counter()
        self._phases[name] = now - self._last
        self._last, self._compiler = now, {}

    def end_first_step(self) -> str:
        """Ends the last phases: tracing and lowering the step, compiling it or loading it from the cache, running it.

        Returns:
          A line with the seconds since the start, and those of each phase.
        """
        now = time.perf_counter()
        trace = max(self._compiler.get(_TRACE, [0.0])) + sum(self._compiler.get(_LOWER, []))
        compiling = sum(self._compiler.get(_COMPILE, []))
        running = max(now - self._last - trace - compiling, 0.0)
        phases = self._phases | {"trace": trace, "compile or load": compiling, "step": running}
        told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in phases.items())
        return f"first step done after {now - self._began:.1f} s: {told}"

    def _listen(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        self._compiler.setdefault(event, []).append(duration_secs)
