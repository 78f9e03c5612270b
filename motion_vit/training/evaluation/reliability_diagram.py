"""Draws how often a model is right, by how sure it is."""

import pathlib

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.files.figure_file import write_figure
from motion_vit.training.evaluation.calibration import Reliability


def draw_reliability(reliability: Reliability, target: pathlib.Path) -> None:
    """Draws accuracy over confidence, and below it the share of videos in each interval.

    Args:
      reliability: of an evaluation.
      target: PNG file to write.

    Raises:
      UnwritableError: it cannot be written.
    """
    figure = Figure(figsize=(4.5, 5.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    widths, left = np.diff(reliability.edges), reliability.edges[:-1]
    style = {"align": "edge", "edgecolor": "white"}
    above.bar(left, 100 * np.nan_to_num(reliability.accuracy), widths, color="#0072B2", label="accuracy", **style)
    above.plot([0, 1], [0, 100], color="black", linestyle="--", linewidth=1, label="as sure as right")
    known = reliability.counts > 0
    above.plot(
        reliability.confidence[known],
        100 * reliability.accuracy[known],
        color="#D55E00",
        marker="o",
        markersize=4,
        linestyle="none",
        label="mean confidence",
    )
    above.set_title(f"expected calibration error {100 * reliability.error:.1f} %")
    above.set_ylabel("right (%)")
    above.set_ylim(0, 100)
    above.legend(loc="upper left")
    videos = max(1, int(reliability.counts.sum()))
    below.bar(left, 100 * reliability.counts / videos, widths, color="#999999", **style)
    below.set_ylabel("videos (%)")
    below.set_xlabel("confidence: probability of the predicted class")
    below.set_xlim(0, 1)
    write_figure(figure, target)
