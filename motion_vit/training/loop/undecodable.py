"""Training videos that cannot be decoded: named once each, and no more of them than a run may bear."""

from collections.abc import Mapping

import numpy as np

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.training.parallel.processes import SharedError, gather

_SHOWN = 10


class Undecodable:
    """Finds the clips of batches that arrive with weight 0.

    Each of several processes sees its own part of the data; `exchange` brings together what they have found.

    Args:
      source: the training clips.
      most: share of them that may fail.
      prefix: what the names of their entries of a batch begin with.
    """

    def __init__(self, source: ClipSource, most: float, prefix: str = "") -> None:
        self._source, self._most, self._prefix = source, most, prefix
        self._reasons: dict[int, tuple[str, str]] = {}
        self._found: dict[int, tuple[str, str]] = {}  # since the last report
        self._nothing_left = False

    @property
    def names(self) -> tuple[str, ...]:
        """The clips that were told of so far, in the order they were met."""
        return tuple(name for name, _ in self._reasons.values())

    def look_through(self, batch: Mapping[str, np.ndarray]) -> None:
        """Looks through a batch, and at nothing else: it stands between two steps, which must not wait for a video.

        Args:
          batch: arrays `weight`, `index`, `failed` and `reason` of `motion_vit.data.batches.batch`.
        """
        met = len(self._found)
        names = ("weight", "index", "failed", "reason")
        weight, index, failed, reason = (batch[self._prefix + name] for name in names)
        for place in np.flatnonzero((weight == 0) & (index >= 0)):
            row = int(index[place])
            if row not in self._reasons and row not in self._found:
                self._found[row] = str(failed[place]), str(reason[place])
        self._nothing_left |= len(self._found) > met and not weight.any()

    def exchange(self) -> list[str]:
        """Brings together what all processes have found; every process must call it.

        Returns:
          A line for each clip that no process had met before: its name and what is wrong with it.
        """
        lines = []
        reports = gather([list(self._found.items()), self._nothing_left])
        self._found = {}
        self._nothing_left = any(nothing_left for _, nothing_left in reports)
        for found, _ in reports:
            for row, (name, reason) in found:
                if row not in self._reasons:
                    self._reasons[row] = name, reason
                    lines.append(f"cannot be decoded, does not count: {name}: {reason}")
        return lines

    def check(self) -> None:
        """Checks that not too many clips have failed, of those that `exchange` has brought together.

        Raises:
          UserError: more than the bearable share of all clips has failed, or every clip of a batch; they are named. All
            processes raise it.
        """
        if len(self._reasons) > self._most * len(self._source):
            raise SharedError(self._message(f"more than data.max_undecodable, {self._most:g}, allows"))
        if self._nothing_left:
            raise SharedError(self._message("and of the last batch not a single one"))

    def _message(self, what: str) -> str:
        lines = [f"  {name}: {reason}" for name, reason in self._reasons.values()]
        hidden = len(lines) - _SHOWN
        return (
            f"{len(lines)} of the {counted(len(self._source), 'video')} of {self._source.name} could not be decoded, "
            f"{what}:\n"
            + "\n".join(lines[:_SHOWN])
            + (f"\n  and {hidden} more, named above" if hidden > 0 else "")
            + "\nRepair or remove them (`motion-vit data check` finds all of them), prepare the data with --skip-bad, "
            "or allow a larger share."
        )
