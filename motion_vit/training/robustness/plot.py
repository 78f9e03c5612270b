"""Draws accuracy by corruption and severity."""

import pathlib

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.data.corruptions.corruption import SEVERITY
from motion_vit.files.figure_file import write_figure
from motion_vit.training.robustness.robustness import Robustness

_ADAPTED = "#D55E00"
_INCHES_A_BAR = 0.28
_BARS_WIDTH = 0.8
"""Of a corruption's bars together, in units of the distance from one corruption to the next."""


def draw_robustness(robustness: Robustness, target: pathlib.Path) -> None:
    """Draws a group of bars for each corruption, one a severity, and their mean; dots are with adaptation.

    Args:
      robustness: the results.
      target: PNG file to write.

    Raises:
      UnwritableError: it cannot be written.
    """
    names, severities = robustness.corruptions, robustness.severities
    plain, adapted = _heights(robustness, adapted=False), _heights(robustness, adapted=True)
    bars = (len(names) + 1) * (len(severities) + 1)
    figure = Figure(figsize=(max(5.0, 1.5 + _INCHES_A_BAR * bars), 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places, width = np.arange(len(names) + 1), _BARS_WIDTH / len(severities)
    for number, severity in enumerate(severities):
        left = places + (number - (len(severities) - 1) / 2) * width
        # The palest is too pale to see.
        color = colormaps["Blues"](0.25 + 0.65 * severity / SEVERITY.most)
        axes.bar(left, plain[:, number], width, color=color, edgecolor="white", label=f"severity {severity}")
        if robustness.adaptation is not None:
            label = f"with {robustness.adaptation.method}" if number == 0 else None
            axes.plot(left, adapted[:, number], "o", color=_ADAPTED, markersize=4, label=label)
    clean = 100 * robustness.clean.plain.top1
    axes.axhline(clean, color="black", linestyle="--", linewidth=1, label=f"as they are ({clean:.1f} %)")
    axes.axvline(len(names) - 0.5, color="#999999", linewidth=0.8)
    axes.set_xticks(places, [*(name.replace("_", " ") for name in names), "mean"], rotation=40, ha="right")
    axes.set_ylabel("top-1 (%)")
    axes.set_ylim(0, 100)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    write_figure(figure, target)


def _heights(robustness: Robustness, *, adapted: bool) -> np.ndarray:
    """Returns top-1 in percent, a row a corruption and one of means, a column a severity."""
    found = {
        (result.corruption, result.severity): (result.adapted if adapted and result.adapted else result.plain).top1
        for result in robustness.corrupted
    }
    rows = [[found[name, severity] for severity in robustness.severities] for name in robustness.corruptions]
    means = [robustness.mean_top1(severity, adapted=adapted) for severity in robustness.severities]
    return 100 * np.array([*rows, means])
