"""The parts of Markdown tables of accuracies."""

import statistics
from collections.abc import Sequence


def table_line(cells: Sequence[str]) -> str:
    """Joins cells to a line of a table.

    Args:
      cells: Markdown.
    """
    return f"| {' | '.join(cells)} |"


def mean_and_deviation(accuracies: Sequence[float]) -> str:
    """Writes the mean of accuracies in per cent, and the standard deviation (n - 1) where there are several.

    Args:
      accuracies: from 0 to 1, at least one.
    """
    mean = f"{100 * statistics.mean(accuracies):.1f}"
    return mean if len(accuracies) == 1 else f"{mean} ± {100 * statistics.stdev(accuracies):.1f}"
