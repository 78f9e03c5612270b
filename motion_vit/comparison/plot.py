"""The picture of a comparison."""

import pathlib
import statistics
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.comparison.run_result import RunResult
from motion_vit.comparison.table import by_row
from motion_vit.files.figure_file import write_figure
from motion_vit.outside_text import for_plot

# Of the Okabe-Ito palette, which colour-blind readers tell apart; the markers differ as well.
_MEAN, _SEED, _FROZEN, _SHUFFLED = "#0072B2", "#000000", "#F0E442", "#D55E00"


def draw_comparison(results: Sequence[RunResult], target: pathlib.Path) -> None:
    """Draws a bar for each row's mean top-1 accuracy, a dot for each seed, and the controls.

    Args:
      results: of all runs, at least one.
      target: PNG file to write.
    """
    rows = by_row(results)
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(rows))
    axes.barh(places, [_mean([result.top1 for result in found]) for found in rows.values()], color=_MEAN, alpha=0.6)
    for place, found in zip(places, rows.values(), strict=True):
        seeds = [100 * result.top1 for result in found]
        axes.plot(seeds, [place] * len(seeds), "o", color=_SEED, markersize=4, label="each seed" if not place else None)
        for name, marker, color in (("frozen", "s", _FROZEN), ("shuffled", "D", _SHUFFLED)):
            value = _mean([getattr(result, name) for result in found])
            label = f"{name} frames, mean" if not place else None
            axes.plot([value], [place], marker, color=color, markersize=5, fillstyle="none", label=label)
    axes.axvline(100 / results[0].classes, color="grey", linestyle=":", linewidth=1, label="chance")
    axes.set_yticks(places, list(map(for_plot, rows)))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("top-1 accuracy on held-out videos (%)")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    write_figure(figure, target)


def _mean(accuracies: Sequence[float]) -> float:
    return 100 * statistics.mean(accuracies)
