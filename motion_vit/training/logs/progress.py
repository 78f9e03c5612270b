"""Displays a run's progress: a bar with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from motion_vit.terminal import bare_stream

# The time left stands in the postfix: tqdm's own estimate would count compilation as training.
_BAR_FORMAT = "{desc} {percentage:3.0f}% |{bar}| step {n_fmt}/{total_fmt}, {elapsed}{postfix}"


class Progress:
    """Progress of a run of steps.

    Args:
      first: steps done before.
      total: steps of the whole run.
      shown: whether to print; with many processes, only one of them does.
    """

    def __init__(self, first: int, total: int, *, shown: bool = True) -> None:
        self._shown = shown
        self._done = first
        self._total = total
        self._timed_from = first
        self._start: float | None = None
        self._bar = tqdm(
            initial=first,
            total=total,
            desc="training",
            bar_format=_BAR_FORMAT,
            disable=not (shown and sys.stderr.isatty()),
            dynamic_ncols=True,
            file=bare_stream(sys.stderr),
        )

    def __enter__(self) -> "Progress":
        """Returns the display; the bar is already drawn."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the bar."""
        self._bar.close()

    def advance(self) -> None:
        """Counts a step."""
        self._done += 1
        left = self.time_left()
        self._bar.set_postfix_str("" if left is None else f"{left} left", refresh=False)
        self._bar.update()

    def start_clock(self) -> None:
        """Starts to measure the pace; the time before, such as compilation, does not count."""
        self._timed_from = self._done
        self._start = time.perf_counter()

    def line(self, text: str) -> None:
        """Prints a line above the bar.

        Args:
          text: without a line break.
        """
        if self._shown:
            with tqdm.external_write_mode(file=bare_stream(sys.stderr)):
                print(text, flush=True)

    def time_left(self) -> str | None:
        """Returns the time left at the present pace, such as `12 min`; None before there is a pace."""
        timed = self._done - self._timed_from
        if self._start is None or timed == 0:
            return None
        return duration((time.perf_counter() - self._start) / timed * (self._total - self._done))


def duration(seconds: float) -> str:
    """Formats a duration for people.

    Args:
      seconds: length of the duration.

    Returns:
      Text such as `40 s`, `12 min` or `3 h 20 min`.
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def step_line(step: int, total: int, summary: Mapping[str, float], time_left: str | None) -> str:
    """Formats the console's log line about the latest steps, in less than about 160 characters.

    Args:
      step: steps done.
      total: steps of the whole run.
      summary: of `meter.Meter.summary`.
      time_left: of `Progress.time_left`.

    Returns:
      The line. FLOP/s and MFU are those of one device; memory is the peak of the fullest device, on CPU of the process.
    """
    tflops = summary["model_tflops_per_second_per_device"]
    flops = f"{tflops:.3g} TFLOP/s" if tflops >= 1 else f"{1000 * tflops:.3g} GFLOP/s"
    if "model_flops_utilization" in summary:
        flops += f" ({100 * summary['model_flops_utilization']:.0f} % MFU)"
    memory = summary.get("device_peak_memory_gb", summary.get("process_peak_memory_gb"))
    parts = [
        f"step {step}/{total}",
        f"loss {summary['loss']:.4f}",
        *([f"top-1 {100 * summary['top1']:.1f} %"] if "top1" in summary else []),
        f"lr {summary['learning_rate']:.2e}",
        f"grad norm {summary['grad_norm']:.2f}",
        f"{summary['clips_per_second']:.1f} clips/s",
        flops,
        f"data wait {100 * summary['waiting_for_data']:.0f} %",
        f"{memory:.1f} GB",
    ]
    return "  ".join([*parts, *([] if time_left is None else [f"{time_left} left"])])
