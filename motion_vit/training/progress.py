"""How a run tells where it is: a bar with the time left on a terminal, plain lines everywhere."""

import sys
import time

from tqdm import tqdm


class Progress:
    """Progress of a run of steps.

    Args:
      first: steps done before.
      total: steps of the whole run.
    """

    def __init__(self, first: int, total: int) -> None:
        self._done = first
        self._total = total
        self._timed_from = first
        self._start = time.perf_counter()
        self._bar = tqdm(
            initial=first,
            total=total,
            desc="training",
            unit="step",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def __enter__(self) -> "Progress":
        """Nothing: the bar is drawn."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the bar."""
        self._bar.close()

    def advance(self) -> None:
        """Counts a step."""
        self._done += 1
        self._bar.update()

    def restart_clock(self) -> None:
        """Leaves the time until now out of the pace, such as that of compilation."""
        self._timed_from = self._done
        self._start = time.perf_counter()

    def line(self, text: str) -> None:
        """Prints a line above the bar.

        Args:
          text: the line.
        """
        tqdm.write(text)
        sys.stdout.flush()

    def time_left(self) -> str:
        """The time that the remaining steps take at the pace so far, such as `12 min`."""
        done = max(self._done - self._timed_from, 1)
        return duration((time.perf_counter() - self._start) / done * (self._total - self._done))


def duration(seconds: float) -> str:
    """A duration as people say it.

    Args:
      seconds: the duration.

    Returns:
      Such as `40 s`, `12 min` or `3 h 20 min`.
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
