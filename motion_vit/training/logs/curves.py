"""Draws a run's curves from its JSON lines."""

import pathlib
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.files.figure_file import write_figure
from motion_vit.training.logs.writers import read_json_lines

CURVES_FILE = "curves.png"

# Blue and vermilion of the Okabe-Ito palette, which colour-blind readers tell apart; line styles differ as well.
_STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": "#0072B2", "linestyle": "-", "linewidth": 1.2},
    "validation": {"color": "#D55E00", "linestyle": "--", "linewidth": 1.6, "marker": "o", "markersize": 3.5},
}


def draw_curves(metrics_file: pathlib.Path, target: pathlib.Path) -> None:
    """Draws loss and, of a classifier, top-1 accuracy over the steps.

    Args:
      metrics_file: records of the run.
      target: PNG file to write.
    """
    records = read_json_lines(metrics_file)
    classifies = any("top1" in record for record in records)
    figure = Figure(figsize=(9 if classifies else 4.5, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, *accuracy_axes = figure.subplots(1, 2 if classifies else 1, squeeze=False)[0]
    _draw(loss_axes, records, "loss", scale=1.0)
    loss_axes.set_ylabel("loss")
    for axes in accuracy_axes:
        _draw(axes, records, "top1", scale=100.0)
        axes.set_ylabel("top-1 accuracy (%)")
        axes.set_ylim(0, 100)
    write_figure(figure, target)


def _draw(axes: Axes, records: Sequence[dict[str, float | str]], name: str, scale: float) -> None:
    for split, style in _STYLES.items():
        points = [
            (float(record["step"]), scale * float(record[name]))
            for record in records
            if record["split"] == split and name in record
        ]
        if points:
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, label=split, **style)
    axes.set_xlabel("training step")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
