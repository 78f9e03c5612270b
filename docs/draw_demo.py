"""Draws `docs/demo.png` from a finished demo: python docs/draw_demo.py build/demo docs/demo.png"""

import csv
import json
import pathlib
import sys

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.probing import count_frames

FRAMES = 6
BARS = {"normal": "as filmed", "shuffled": "frames shuffled", "frozen": "frozen"}


def main(demo: pathlib.Path, target: pathlib.Path) -> None:
    """Draws one clip of each class beside the accuracies of the model and its controls.

    Args:
      demo: the `--workdir` of `motion-vit demo`.
      target: PNG file to write.
    """
    list_file = demo / "dataset" / "validation.csv"
    with list_file.open(encoding="utf-8", newline="") as rows:
        first = {row["label"]: list_file.parent / row["path"] for row in reversed(list(csv.DictReader(rows)))}
    figure = Figure(figsize=(10, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    strips, bars = figure.subfigures(1, 2, width_ratios=(3, 2))
    for axes, label in zip(strips.subplots(5, 2).flat, sorted(first), strict=True):
        path = str(first[label])
        indices = np.linspace(0, count_frames(path) - 1, FRAMES).round().astype(int)
        with_gaps = np.pad(decode_frames(path, indices), [(0, 0), (0, 0), (0, 4), (0, 0)], constant_values=255)
        axes.imshow(np.concatenate(list(with_gaps), axis=1))
        axes.set_title(label.replace("_", "-"), fontsize=9)
        axes.set_axis_off()
    axes = bars.subplots()
    for place, order in enumerate(BARS):
        report = json.loads((demo / "run" / "evaluation" / order / "evaluation.json").read_text(encoding="utf-8"))
        accuracy = 100 * report["top1"]
        axes.bar(place, accuracy, color="#0072B2" if order == "normal" else "#999999", width=0.6)
        axes.text(place, accuracy + 1.5, f"{accuracy:.1f} %", ha="center")
    axes.axhline(10, color="black", linewidth=0.8, linestyle=":")
    axes.text(0.5, 11, "chance", ha="center", fontsize=8)
    axes.set_xticks(range(len(BARS)), BARS.values(), fontsize=9)
    axes.set_ylabel("top-1 on held-out videos (%)")
    axes.set_ylim(0, 108)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
