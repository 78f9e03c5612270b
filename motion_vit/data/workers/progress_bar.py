"""Progress of long loops: a bar on a terminal, a line now and then in a log."""

import math
import sys

from tqdm import tqdm

from motion_vit.counts import plural
from motion_vit.terminal import bare_stream

_SECONDS_A_LINE = 10.0


class _Lines(tqdm):
    """Prints a line where tqdm redraws its bar."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Prints the state, but nothing for the empty message that clears a bar."""
        if msg != "":
            self.fp.write(f"{self if msg is None else msg}\n")

    def close(self) -> None:
        """Ends the lines, without the carriage return that clears a bar."""
        self.delay = math.inf  # as if there had been none
        super().close()


def progress_bar(
    total: int | None, description: str, unit: str, *, initial: int = 0, leave: bool = True, shown: bool = True
) -> tqdm:
    """Makes a progress bar for standard error.

    Args:
      total: number of rounds; None if unknown.
      description: task, such as "rendering videos".
      unit: unit of a round, such as "clip".
      initial: rounds done before.
      leave: whether the full bar stays on the terminal.
      shown: False prints nothing.

    Returns:
      A context manager; `update` counts rounds. Where standard error is no terminal, a line is printed every ten
      seconds.
    """
    if sys.stderr.isatty():
        return tqdm(
            total=total,
            initial=initial,
            desc=description,
            unit=unit,
            leave=leave,
            disable=not shown,
            file=bare_stream(sys.stderr),
        )
    return _Lines(
        total=total,
        initial=initial,
        desc=description,
        unit=plural(unit),
        leave=False,
        disable=not shown,
        bar_format="{desc}: {n_fmt}/{total_fmt} {unit}, {elapsed}, {remaining} left{postfix}",
        delay=_SECONDS_A_LINE,
        mininterval=_SECONDS_A_LINE,
        miniters=1,
    )
