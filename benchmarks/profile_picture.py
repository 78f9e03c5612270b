"""Draws the time of a training step by stage, pass and kind of layer."""

import pathlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from operation_places import KINDS, places_of

# Of the Okabe-Ito palette, which colour-blind readers tell apart, and two greys.
_COLORS = dict(
    zip(
        KINDS,
        ("#F0E442", "#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#555555", "#BBBBBB"),
        strict=True,
    )
)


def draw_profile(result: Mapping[str, Any], target: pathlib.Path) -> None:
    """Draws a bar for each pass of each stage, stacked by kind of layer.

    Args:
      result: of `profile_step`.
      target: PNG file to write.
    """
    cells: Counter[tuple[str, str, str]] = Counter()
    for entry in result["seconds"]:
        cells[entry["stage"], entry["direction"], entry["kind"]] += 1e3 * entry["seconds"]
    places = places_of(result)
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    bottoms = [0.0] * len(places)
    for kind in KINDS:
        heights = [cells[stage, direction, kind] for stage, direction in places]
        if any(heights):
            axes.bar(range(len(places)), heights, bottom=bottoms, color=_COLORS[kind], label=kind, width=0.8)
            bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    labels = [f"{stage}\n{direction}" for stage, direction in places]
    axes.set_xticks(range(len(places)), labels, fontsize=8)
    axes.set_ylabel("milliseconds of a step, all threads")
    axes.set_ylim(0, 1.05 * max(bottoms))
    axes.set_axisbelow(True)
    axes.grid(axis="y", alpha=0.3)
    shape = " x ".join(map(str, result["clips"]))
    axes.set_title(
        f"{result['model']}: a training step on {shape} in {result['dtype']}, {result['device']}", fontsize=9
    )
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(target)
