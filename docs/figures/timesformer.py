"""Draws `timesformer.svg`: what a patch sees in the two attentions of a block, and in a cost volume over time."""

from diagram import BLUE, GREEN, ORANGE, canvas, grid, label, save
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

CELLS, SIDE = 5, 2.4
QUERY = (2, 2)


def main() -> None:
    """Draws the figure."""
    figure, axes = canvas(132, 34)
    everywhere = {(row, column) for row in range(CELLS) for column in range(CELLS)}
    window = {(row, column) for row, column in everywhere if 1 <= row <= 3 and 1 <= column <= 3}
    _panel(axes, 2, "1. over time:\nits own place in all frames", [{QUERY}, {QUERY}, {QUERY}])
    _panel(axes, 46.5, "or, as a cost volume:\nits window in the next frame", [set(), set(), window])
    _panel(axes, 91, "2. within the frame:\nall places, and the class token", [set(), everywhere, set()])
    axes.add_patch(Rectangle((105, 20.6), SIDE, SIDE, facecolor=GREEN))
    save(figure, __file__)


def _panel(axes: Axes, left: float, title: str, seen: list[set[tuple[int, int]]]) -> None:
    label(axes, (left + 20, 29), title)
    for frame, places in enumerate(seen):
        colors = {place: "#9FCBE6" if frame != 1 or place != QUERY else ORANGE for place in places}
        if frame == 1:
            colors[QUERY] = ORANGE
        grid(axes, (left + frame * 14, 8), cells=CELLS, side=SIDE, colors=colors)
        label(axes, (left + frame * 14 + 6, 5), ("$t-1$", "$t$", "$t+1$")[frame], size=8, color=BLUE)


if __name__ == "__main__":
    main()
