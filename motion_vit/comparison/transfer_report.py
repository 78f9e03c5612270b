"""The report of a transfer: a table for each data set, a picture and the numbers."""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.comparison.comparison_run import ComparisonRun
from motion_vit.comparison.run_result import RunResult, read_result
from motion_vit.comparison.table_cells import mean_and_deviation, table_line
from motion_vit.counts import counted
from motion_vit.data.sources.subset_choice import SubsetSize
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UnwritableError, write_text
from motion_vit.files.figure_file import write_figure
from motion_vit.outside_text import for_markdown, for_plot

TABLE_FILE = "transfer.md"
PLOT_FILE = "transfer.png"
RESULTS_FILE = "transfer.json"

# Of the Okabe-Ito palette; the markers differ as well.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = "osD^vPX*"


@dataclasses.dataclass(frozen=True)
class TransferCell:
    """A recipe on a subset of a data set.

    Attributes:
      data: name of the data set.
      size: how many clips of each class it has.
      split: number of the subset among those of this size.
      training_clips: clips of the subset.
      run: of the recipe.
    """

    data: str
    size: SubsetSize
    split: int
    training_clips: int
    run: ComparisonRun


Finished = tuple[TransferCell, RunResult]


@dataclasses.dataclass(frozen=True)
class TransferReport:
    """The report of the runs of a transfer.

    Attributes:
      workdir: folder that it is written to.
      cells: the runs, in the order of the command.
    """

    workdir: pathlib.Path
    cells: Sequence[TransferCell]

    def renew(self) -> None:
        """Rewrites `transfer.json`, `transfer.md` and `transfer.png`, if there is a result.

        Raises:
          UserError: a result is damaged, or the files cannot be written.
        """
        finished = self._finished()
        if not finished:
            return
        records = [
            {
                "data": cell.data,
                "size": str(cell.size),
                "split": cell.split,
                "training_clips": cell.training_clips,
                **dataclasses.asdict(result),
            }
            for cell, result in finished
        ]
        try:
            write_text(self.workdir / RESULTS_FILE, json.dumps(records, indent=2) + "\n")
            write_text(self.workdir / TABLE_FILE, transfer_tables(finished) + "\n")
            draw_transfer(finished, self.workdir / PLOT_FILE)
        except UnwritableError as error:
            raise UserError(f"{error} The same command writes the tables and the picture again.") from error

    def show(self) -> None:
        """Prints the tables, if there is a result.

        Raises:
          UserError: a result is damaged.
        """
        if finished := self._finished():
            print(transfer_tables(finished))

    def _finished(self) -> list[Finished]:
        results = [(cell, read_result(cell.run.folder)) for cell in self.cells]
        return [
            (cell, result)
            for cell, result in results
            if result is not None and result.conditions == cell.run.conditions
        ]


def transfer_tables(finished: Sequence[Finished]) -> str:
    """Formats a Markdown table for each data set: recipes by sizes, top-1 and mean accuracy of the classes.

    Sets are not averaged: they differ in classes and videos, and models rank otherwise on each.

    Args:
      finished: runs and their results, at least one.

    Returns:
      The tables, each below its heading and above its caption.
    """
    parts = []
    for data in dict.fromkeys(cell.data for cell, _ in finished):
        of_data = [(cell, result) for cell, result in finished if cell.data == data]
        sizes = list(dict.fromkeys(cell.size for cell, _ in of_data))
        header = ["row", "accuracy, %", *(size.title for size in sizes)]
        lines = [f"## {for_markdown(data)}", "", table_line(header), table_line(["---", "---"] + ["---:"] * len(sizes))]
        for row in dict.fromkeys(cell.run.row for cell, _ in of_data):
            for measure, title in (("top1", "top-1"), ("mean_class", "mean of classes")):
                values = [
                    [getattr(result, measure) for cell, result in of_data if (cell.run.row, cell.size) == (row, size)]
                    for size in sizes
                ]
                lines.append(table_line([for_markdown(row), title, *map(_known, values)]))
        parts.append("\n".join([*lines, "", _caption(of_data, sizes)]))
    return "\n\n".join(parts)


def _caption(finished: Sequence[Finished], sizes: Sequence[SubsetSize]) -> str:
    """Describes the data and the numbers of runs."""
    first = finished[0][1]
    clips = ", ".join(
        f"{size.title}: {next(cell.training_clips for cell, _ in finished if cell.size == size):,}" for size in sizes
    )
    splits = {size: len({cell.split for cell, _ in finished if cell.size == size}) for size in sizes}
    several = ", ".join(f"{size.title}: {count}" for size, count in splits.items() if count > 1)
    spread = f" Mean and standard deviation (n - 1) over random splits ({several})." if several else ""
    return (
        f"{counted(first.classes, 'class')} (chance {100 / first.classes:.1f} %), "
        f"{counted(first.videos, 'held-out video', ',')}; training clips: {clips}.{spread}"
    )


def _known(accuracies: Sequence[float | None]) -> str:
    """Writes the accuracies that there are; results of earlier versions have no mean of classes."""
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return mean_and_deviation(known) if known else ""


def draw_transfer(finished: Sequence[Finished], target: pathlib.Path) -> None:
    """Draws a panel for each data set: top-1 accuracy over the training clips of a class, a line for each recipe.

    Args:
      finished: runs and their results, at least one.
      target: PNG file to write.
    """
    names = list(dict.fromkeys(cell.data for cell, _ in finished))
    rows = list(dict.fromkeys(cell.run.row for cell, _ in finished))
    figure = Figure(figsize=(1.0 + 3.5 * len(names), 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)
    for axes, data in zip(panels.flat, names, strict=True):
        of_data = [(cell, result) for cell, result in finished if cell.data == data]
        for number, row in enumerate(rows):
            _draw_row(axes, [each for each in of_data if each[0].run.row == row], number, row)
        axes.axhline(100 / of_data[0][1].classes, color="grey", linestyle=":", linewidth=1)
        places = sorted({cell.training_clips / result.classes for cell, result in of_data})
        axes.set_xscale("log")
        axes.set_xticks(places, [f"{place:.3g}" for place in places])
        axes.minorticks_off()
        axes.set_ylim(0, 100)
        axes.set_title(for_plot(data), fontsize=9)
        axes.grid(alpha=0.3)
    figure.supxlabel("training clips of a class, on average", fontsize=9)
    figure.supylabel("top-1 accuracy on held-out videos (%)", fontsize=9)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    write_figure(figure, target)


def _draw_row(axes: Axes, found: Sequence[Finished], number: int, row: str) -> None:
    """Draws the means of a recipe, with their deviations."""
    places: dict[float, list[float]] = {}
    for cell, result in found:
        places.setdefault(cell.training_clips / result.classes, []).append(100 * result.top1)
    ordered = sorted(places)
    means = [statistics.mean(places[place]) for place in ordered]
    spreads = [statistics.stdev(places[place]) if len(places[place]) > 1 else 0.0 for place in ordered]
    axes.errorbar(
        ordered,
        means,
        spreads,
        color=_COLORS[number % len(_COLORS)],
        marker=_MARKERS[number % len(_MARKERS)],
        markersize=5,
        linewidth=1,
        capsize=3,
        label=for_plot(row),
    )
