"""Draws `emim.svg`: a patch, its window in the next frame, and what EMIM makes of their affinity."""

import numpy as np
from diagram import BLUE, ORANGE, ORANGE_TEXT, arrow, box, canvas, grid, heat, label, path, save

CELLS, WINDOW = 9, 7
QUERY, MOVED_TO = (5, 3), (3, 5)


def main() -> None:
    """Draws the figure."""
    figure, axes = canvas(132, 50)
    side = 3.2
    radius = WINDOW // 2
    window = [(QUERY[0] + u, QUERY[1] + v) for u in range(-radius, radius + 1) for v in range(-radius, radius + 1)]
    grid(axes, (2, 12), cells=CELLS, side=side, colors={QUERY: ORANGE})
    grid(axes, (36, 12), cells=CELLS, side=side, colors={MOVED_TO: ORANGE}, outline=window)
    label(axes, (16.4, 44.5), "frame $t$: a patch asks")
    label(axes, (50.4, 44.5), "frame $t+1$: its window answers")
    label(axes, (16.4, 8), r"query $q_{t,i,j}$", color=ORANGE_TEXT)
    label(axes, (50.4, 8), r"keys and values, $K \times K$", color=BLUE)

    rows, columns = np.mgrid[:WINDOW, :WINDOW] - radius
    up, right = MOVED_TO[0] - QUERY[0], MOVED_TO[1] - QUERY[1]
    affinity = np.exp(-((rows - up) ** 2 + (columns - right) ** 2) / 1.5)
    heat(axes, (70, 15.2), affinity, side)
    label(axes, (81.2, 41.5), "cost volume $A_{t,i,j}$")
    label(axes, (81.2, 9.5), "a place for each\ndisplacement")
    arrow(axes, (65.5, 26.4), (69.2, 26.4))

    box(axes, (111, 37), "softmax, times values:\nwhat the patch became", width=25, height=10, color="#FBEFD0")
    box(axes, (111, 16), "two linear layers:\nwhere it went", width=25, height=10, color="#D2EFE6")
    path(axes, (92.8, 28), (95.5, 28), (95.5, 37), (98.2, 37))
    path(axes, (92.8, 25), (95.5, 25), (95.5, 16), (98.2, 16))
    path(axes, (123.6, 37), (128.5, 37), (128.5, 29.4))
    path(axes, (123.6, 16), (128.5, 16), (128.5, 23.6))
    label(axes, (128.5, 26.5), "+", size=14)
    save(figure, __file__)


if __name__ == "__main__":
    main()
