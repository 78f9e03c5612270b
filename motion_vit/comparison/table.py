"""The table of a comparison."""

import statistics
from collections.abc import Sequence

from motion_vit.comparison.run_result import RunResult
from motion_vit.comparison.table_cells import mean_and_deviation, table_line
from motion_vit.outside_text import for_markdown

_HEADINGS = ("row", "parameters", "GMACs", "clips/s", "top-1 %", "each seed", "frozen %", "shuffled %")


def by_row(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """Groups results by row, sorted by seed.

    Args:
      results: of all runs.

    Returns:
      Row -> its results, in the order in which rows first appear.
    """
    rows: dict[str, list[RunResult]] = {}
    for result in results:
        rows.setdefault(result.row, []).append(result)
    return {row: sorted(found, key=lambda result: result.seed) for row, found in rows.items()}


def comparison_table(results: Sequence[RunResult]) -> str:
    """Formats the comparison as a Markdown table.

    Args:
      results: of all runs, at least one.

    Returns:
      A line for each row: its cost, its top-1 accuracy as mean and standard deviation over the seeds and for each seed,
      and the means of the controls. GMACs are 1e9 multiply-adds of a forward pass of one clip.
    """
    lines = [table_line(_HEADINGS), table_line(["---"] + ["---:"] * (len(_HEADINGS) - 1))]
    for row, found in by_row(results).items():
        first = found[0]
        paces = [result.clips_per_second for result in found if result.clips_per_second is not None]
        lines.append(
            table_line(
                [
                    for_markdown(row),
                    f"{first.parameters:,}",
                    f"{first.multiply_adds / 1e9:.3f}",
                    f"{statistics.median(paces):.0f}" if paces else "",
                    mean_and_deviation([result.top1 for result in found]),
                    ", ".join(f"{100 * result.top1:.1f}" for result in found),
                    f"{100 * statistics.mean(result.frozen for result in found):.1f}",
                    f"{100 * statistics.mean(result.shuffled for result in found):.1f}",
                ]
            )
        )
    return "\n".join([*lines, "", _caption(results)])


def _caption(results: Sequence[RunResult]) -> str:
    """Describes the settings that the results share, and those that they do not."""
    classes = results[0].classes
    seeds = sorted({result.seed for result in results})
    text = (
        f"{_values(results, 'steps')} steps, {classes} classes (chance {100 / classes:.1f} %), "
        f"{_values(results, 'videos')} held-out videos, seeds {', '.join(map(str, seeds))}; top-1 as mean and standard "
        "deviation over the seeds."
    )
    differing = [name for name in ("steps", "videos") if len({getattr(result, name) for result in results}) > 1]
    if any([result.seed for result in found] != seeds for found in by_row(results).values()):
        differing.append("seeds")
    return f"{text} The rows differ in their {' and '.join(differing)}." if differing else text


def _values(results: Sequence[RunResult], name: str) -> str:
    return " or ".join(map(str, sorted({getattr(result, name) for result in results})))
