"""A writer whose failure costs a run nothing but what that writer would have got."""

import contextlib
from collections.abc import Callable, Mapping

from motion_vit.outside_text import for_terminal
from motion_vit.training.logs.metric_writer import MetricWriter

_LONGEST_REASON = 300


class OptionalWriter:
    """Passes values on until the writer raises an exception, and reports that in one line.

    Args:
      name: of the writer, for the line.
      writer: any writer.
      report: takes the line.
      after: split -> last step that the writer has had in an earlier call of the run; it does not get these again.
    """

    def __init__(
        self, name: str, writer: MetricWriter, report: Callable[[str], None], after: Mapping[str, int] | None = None
    ) -> None:
        self._name = name
        self._writer = writer
        self._report = report
        self._after = after or {}
        self._failed = False

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Passes the values on.

        Args:
          step: training steps done.
          split: "train" or "validation".
          values: finite numbers by name.
        """
        if self._failed or step <= self._after.get(split, -1):
            return
        try:
            self._writer.write(step, split, values)
        except Exception as error:
            self._fail(error)

    def close(self) -> None:
        """Closes the writer."""
        try:
            self._writer.close()
        except Exception as error:
            if not self._failed:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failed = True
        reason = for_terminal(" ".join(f"{type(error).__name__}: {error}".split()), _LONGEST_REASON)
        # Where the line goes may be what has failed.
        with contextlib.suppress(OSError):
            self._report(
                f"the metric writer {self._name} failed and gets no more of this run ({reason}); the training goes on, "
                "and metrics.jsonl has every number"
            )
