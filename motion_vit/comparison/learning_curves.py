"""Learning curves of a comparison: top-1 accuracy on training clips over the steps."""

import itertools
import math
import pathlib
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.comparison.run_result import RunResult
from motion_vit.files.figure_file import write_figure
from motion_vit.outside_text import for_plot
from motion_vit.training.logs.writers import METRICS_FILE, read_json_lines

LearningCurve = list[tuple[float, float]]
"""Training steps, and the share of clips that were classified right since the line of the log before."""

_COLUMNS = 6
# Blue, vermilion, green, purple and black of the Okabe-Ito palette; of more seeds the colours repeat.
_SEEDS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")


def read_learning_curve(workdir: pathlib.Path) -> LearningCurve:
    """Reads the curve of a run.

    Args:
      workdir: of the run.

    Returns:
      The curve; [] for a run without logs.
    """
    records = read_json_lines(workdir / METRICS_FILE)
    return [(float(record["step"]), float(record["top1"])) for record in records if record["split"] == "train"]


def draw_learning_curves(runs: Sequence[tuple[RunResult, LearningCurve]], target: pathlib.Path) -> None:
    """Draws a panel for each row with a line for each seed, all on the same scales.

    Args:
      runs: the results, row by row, and their curves; at least one.
      target: PNG file to write.
    """
    panels = [(row, list(found)) for row, found in itertools.groupby(runs, key=lambda run: run[0].row)]
    columns = min(len(panels), _COLUMNS)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(4.0, 2.0 * columns), 0.8 + 1.6 * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (row, found) in zip(grid.flat, panels, strict=False):
        for result, curve in found:
            steps, shares = zip(*curve, strict=True) if curve else ((), ())
            color = _SEEDS[result.seed % len(_SEEDS)]
            axes.plot(steps, [100 * share for share in shares], color=color, linewidth=1, label=f"seed {result.seed}")
        axes.axhline(100 / found[0][0].classes, color="grey", linestyle=":", linewidth=1)
        axes.set_title(for_plot(row), fontsize=8)
        axes.set_ylim(0, 100)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=7)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("training step", fontsize=8)
    figure.supylabel("top-1 accuracy on training clips (%)", fontsize=8)
    handles, labels = max((axes.get_legend_handles_labels() for axes in grid.flat), key=lambda found: len(found[1]))
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=8)
    write_figure(figure, target)
