"""Draws the scores of known and unknown videos."""

import pathlib

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.files.figure_file import write_figure
from motion_vit.training.evaluation.open_set import OpenSet

_BINS = 40


def draw_open_set(open_set: OpenSet, target: pathlib.Path) -> None:
    """Draws a histogram of each score, with the threshold above which a video is called unknown.

    Args:
      open_set: known and unknown videos.
      target: PNG file to write.

    Raises:
      UnwritableError: it cannot be written.
    """
    measures = open_set.measures
    figure = Figure(figsize=(6, 2.6 * len(measures)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, each) in zip(
        figure.subplots(len(measures), 1, squeeze=False)[:, 0], measures.items(), strict=True
    ):
        both = np.concatenate([each.known, each.unknown])
        edges = np.histogram_bin_edges(both, _BINS)
        for label, scores, colour in (("known", each.known, "#0072B2"), ("unknown", each.unknown, "#D55E00")):
            weights = np.full(len(scores), 100 / len(scores))
            axes.hist(scores, edges, weights=weights, color=colour, alpha=0.6, label=label)
        axes.axvline(each.threshold, color="black", linestyle="--", linewidth=1, label="threshold")
        axes.set_title(f"{name}: AUROC {100 * each.auroc:.1f} %, FPR95 {100 * each.fpr95:.1f} %")
        axes.set_xlabel(name)
        axes.set_ylabel("videos (%)")
        axes.legend()
    write_figure(figure, target)
