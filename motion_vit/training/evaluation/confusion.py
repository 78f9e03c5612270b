"""Writes the confusion matrix as a table and as a picture."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.files.csv_file import write_csv
from motion_vit.files.figure_file import write_figure
from motion_vit.outside_text import for_plot

# With more classes than this neither counts nor names are legible in the picture.
_MOST_COUNTS_SHOWN = 20
_MOST_NAMES_SHOWN = 60

# The last column of the counts, which files leave out where it is empty.
_NO_CLASS = "NaN or infinite logits"


def write_confusion_csv(
    confusion: Int[np.ndarray, "classes columns"], label_names: Sequence[str], target: pathlib.Path
) -> None:
    """Writes the counts with true classes as rows and predicted classes as columns.

    Args:
      confusion: counts of `metrics.confusion_matrix`.
      label_names: name of each class.
      target: CSV file to write.
    """
    confusion, columns = _columns(confusion, label_names)
    counts = zip(label_names, confusion.tolist(), strict=True)
    write_csv(target, [["true \\ predicted", *columns], *([name, *row] for name, row in counts)])


def draw_confusion(
    confusion: Int[np.ndarray, "classes columns"], label_names: Sequence[str], target: pathlib.Path
) -> None:
    """Draws each true class's share of predictions.

    Args:
      confusion: counts of `metrics.confusion_matrix`.
      label_names: name of each class.
      target: PNG file to write.
    """
    confusion, columns = _columns(confusion, label_names)
    classes = len(label_names)
    side = min(4.0 + 0.35 * classes, 16.0)
    figure = Figure(figsize=(side + 1, side), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shares = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, vmin=0, vmax=100, cmap="cividis")
    figure.colorbar(image, ax=axes, label="share of the true class (%)", shrink=0.8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if classes <= _MOST_NAMES_SHOWN:
        axes.set_xticks(range(len(columns)), list(map(for_plot, columns)), rotation=90)
        axes.set_yticks(range(classes), list(map(for_plot, label_names)))
    if classes <= _MOST_COUNTS_SHOWN:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                colour = "black" if shares[row, column] > 50 else "white"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    write_figure(figure, target)


def _columns(
    confusion: Int[np.ndarray, "classes columns"], label_names: Sequence[str]
) -> tuple[Int[np.ndarray, "classes shown"], list[str]]:
    """Selects the columns that are shown, and their names."""
    names = [*label_names, _NO_CLASS]
    shown = len(names) if confusion[:, len(label_names) :].any() else len(label_names)
    return confusion[:, :shown], names[:shown]
