"""Measures the phases of a start: what the time until the end of the first step is spent on."""

import time


class Startup:
    """A clock of the phases of a start, from its making to the first step."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._phases: dict[str, float] = {}

    def end_phase(self, name: str) -> None:
        """Counts the time since the last phase ended for a phase, which may have parts.

        Args:
          name: of the phase that ends now.
        """
        now = time.perf_counter()
        self._phases[name] = self._phases.get(name, 0.0) + now - self._last
        self._last = now

    def describe(self, compiling: float) -> str:
        """Tells the phases, of which the last ended the first step.

        Args:
          compiling: seconds of compiling the step or of loading it from the cache, beside these phases.

        Returns:
          A line with the seconds since the start, those of each phase, which add up to it, and those of compiling.
        """
        phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._phases.items())
        return f"first step done after {self._last - self._began:.1f} s: {phases} (compile or load: {compiling:.1f})"
