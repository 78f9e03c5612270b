"""Draws `resnet.svg`: a residual block with its two places for what mixes frames, and the temporal shift."""

from diagram import BLUE, GREEN, GREY, INK, ORANGE, PALE, arrow, box, canvas, label, path, save
from matplotlib.patches import Rectangle

FRAMES, CHANNELS = 4, 8


def main() -> None:
    """Draws the figure."""
    figure, axes = canvas(132, 42)
    box(axes, (17, 26), "motion\nmodule", width=16, height=11, color="#FBEFD0")
    box(axes, (38, 26), "temporal\nshift", width=16, height=11, color="#D2EFE6")
    box(axes, (60, 26), "convolutions,\nnormalised", width=18, height=11)
    for start, end in ((4, 8.8), (25.2, 29.8), (46.2, 50.8), (69.2, 73.4)):
        arrow(axes, (start, 26), (end, 26))
    label(axes, (2.5, 26), "$x$", size=11)
    label(axes, (75.2, 26), "+", size=13)
    path(axes, (5.5, 26), (5.5, 11), (75.2, 11), (75.2, 23.4), color=BLUE)
    label(axes, (39, 8.4), "shortcut", color=BLUE)
    arrow(axes, (77, 26), (82, 26))
    label(axes, (40, 36), "both may be absent (TSN)")

    width, height, left, bottom = 4.0, 6.0, 94.0, 9.0
    for frame in range(FRAMES):
        for channel in range(CHANNELS):
            color = {0: ORANGE, 1: GREEN}.get(channel, PALE)
            corner = (left + channel * width, bottom + (FRAMES - 1 - frame) * height)
            axes.add_patch(Rectangle(corner, width, height, facecolor=color, edgecolor=GREY, linewidth=0.6))
        label(axes, (left - 1, bottom + (FRAMES - 0.5 - frame) * height), f"$t={frame}$", size=7.5, align="right")
    for frame in range(FRAMES - 1):
        high = bottom + (FRAMES - 0.5 - frame) * height
        arrow(axes, (left + 0.5 * width, high - height + 0.6), (left + 0.5 * width, high - 0.6), color=INK)
        arrow(axes, (left + 1.5 * width, high - 0.6), (left + 1.5 * width, high - height + 0.6), color=INK)
    label(axes, (left + 16, 37), "the shift: eighths of the channels")
    label(axes, (left + 16, 5), "from the next frame, from the one before", size=8)
    save(figure, __file__)


if __name__ == "__main__":
    main()
