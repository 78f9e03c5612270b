"""The interface of what receives the metrics of a run."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class MetricWriter(Protocol):
    """Receives the metrics of a run; any class with these two methods is one."""

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Adds the values of a step.

        A run that is continued after an interruption may repeat steps behind its last checkpoint, with the same values.

        Args:
          step: training steps done.
          split: "train" or "validation".
          values: finite numbers by name.
        """

    def close(self) -> None:
        """Closes the writer, at the end of the run or of this part of it."""
