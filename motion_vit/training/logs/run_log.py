"""Everything that a run reports while it trains: lines on the console, metrics in files, and its pace."""

import contextlib
import statistics
import types
from collections.abc import Mapping, Sequence

import jax

from motion_vit.training.logs.meter import Meter, StepMetrics
from motion_vit.training.logs.metric_writer import MetricWriter
from motion_vit.training.logs.progress import Progress, step_line
from motion_vit.training.logs.throughput import Throughput
from motion_vit.training.logs.tracked_run import TrackedRun
from motion_vit.training.logs.writers import Writers

# Measures of a validation in its line, but for the loss.
_SHARES = {"top1": "top-1", "mean_class": "mean of classes", "top5": "top-5"}


class RunLog:
    """The log of a run; a context manager around its steps.

    Args:
      run: its folder, for the metrics, and its name and recipe.
      first: steps done before.
      total: steps of the whole run.
      throughput: what a clip costs, and the devices of all processes.
      local_devices: devices of this process, whose memory is reported.
      names: writers of the metrics, those of `log.writers`.
      others: further writers.
      active: whether anything is printed and written: in a run of many processes, only by one of them.

    Raises:
      UserError: the files cannot be written.
    """

    def __init__(
        self,
        run: TrackedRun,
        first: int,
        total: int,
        throughput: Throughput,
        local_devices: Sequence[jax.Device],
        *,
        names: Sequence[str] = ("tensorboard",),
        others: Sequence[MetricWriter] = (),
        active: bool = True,
    ) -> None:
        self._total = total
        self._paces: list[float] = []
        with contextlib.ExitStack() as opened:
            self._writers = opened.enter_context(
                Writers(run, first, names=names, others=others, report=self.line, active=active)
            )
            self._progress = opened.enter_context(Progress(first, total, shown=active))
            self._opened = opened.pop_all()
        self._meter = Meter(throughput, local_devices)

    def __enter__(self) -> "RunLog":
        """Returns the log, whose files are open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: types.TracebackType | None
    ) -> None:
        """Closes the files and ends the bar."""
        # First the writers, which may have something to say above the bar.
        with self._opened:
            self._writers.close()

    @property
    def clips_per_second(self) -> float | None:
        """The median over the log lines so far, None without one."""
        return statistics.median(self._paces) if self._paces else None

    def line(self, text: str) -> None:
        """Prints a line.

        Args:
          text: the line.
        """
        self._progress.line(text)

    def add_step(self, metrics: StepMetrics, clips: int, waited: float) -> None:
        """Counts a step that was handed to the devices.

        Args:
          metrics: of `make_train_step`, on the devices; they need not be there yet.
          clips: clips of the step, of all processes.
          waited: seconds that the devices had nothing to do before this process's part of the batch came.
        """
        self._meter.add_step(metrics, clips, waited)
        self._progress.advance()

    def fetch(self) -> list[Mapping[str, float]]:
        """Waits for the metrics of the steps since it was last called, and brings them to the host at once.

        Returns:
          The metrics of each of these steps.
        """
        return self._meter.fetch()

    def start_clock(self) -> None:
        """Measures the pace from here on, without what was before, such as compilation."""
        self._progress.start_clock()
        self._meter.restart()

    def leave_out(self, seconds: float) -> None:
        """Takes time that was spent on something else, such as evaluation, out of the pace.

        Args:
          seconds: how much, just now.
        """
        self._meter.leave_out(seconds)

    def write_steps(self, step: int, undecodable: int) -> None:
        """Logs the steps since the last such line.

        Args:
          step: steps done.
          undecodable: videos that could not be decoded so far.

        Raises:
          UserError: the files cannot be written.
        """
        summary = self._meter.summary()
        self._paces.append(summary["clips_per_second"])
        self._writers.write(step, "train", {**summary, "undecodable": float(undecodable)})
        self.line(step_line(step, self._total, summary, self._progress.time_left()))
        self._meter.restart()

    def write_validation(self, step: int, measures: Mapping[str, float], remark: str) -> None:
        """Logs an evaluation.

        Args:
          step: steps done.
          measures: `top1` and, where they are known, `loss`, `mean_class` and `top5`.
          remark: the end of the line.

        Raises:
          UserError: the files cannot be written.
        """
        self._writers.write(step, "validation", measures)
        loss = f" loss {measures['loss']:.4f} " if "loss" in measures else ""
        shares = "  ".join(f"{name} {100 * measures[key]:.1f} %" for key, name in _SHARES.items() if key in measures)
        self.line(f"step {step}/{self._total}  validation{loss} {shares}{remark}")
