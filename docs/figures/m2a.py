"""Draws `m2a.svg`: the shell of motion aware attention and its two interchangeable parts."""

from diagram import BLUE, GREEN, INK, ORANGE_TEXT, arrow, box, canvas, label, path, save


def main() -> None:
    """Draws the figure."""
    figure, axes = canvas(132, 44)
    label(axes, (4, 22), "$x$", size=12)
    steps = [
        (16.5, "$W_{down}$\nto $c/8$", 13, "#F2F2F2"),
        (36, "normalise\neach frame", 16, "#F2F2F2"),
        (58, "motion\n$z_{t+1} - z_t$", 18, "#FBEFD0"),
        (80, "attention\nof frames", 18, "#D2EFE6"),
        (105.5, "$W_{up}$, sigmoid", 18, "#F2F2F2"),
    ]
    for centre, text, width, color in steps:
        box(axes, (centre, 22), text, width=width, height=11, color=color)
    for start, end in ((6, 9.8), (23.2, 27.8), (44.2, 48.8), (67.2, 70.8), (89.2, 91.2), (94.8, 96.3), (114.7, 118.7)):
        arrow(axes, (start, 22), (end, 22))
    label(axes, (93, 22), "+", size=13)
    path(axes, (25.5, 22), (25.5, 34), (93, 34), (93, 24.4))
    label(axes, (59, 36.2), "$d$")
    label(axes, (121, 22), r"$\times$", size=13)
    label(axes, (127.5, 22), "+", size=13)
    arrow(axes, (122.8, 22), (126, 22))
    path(axes, (4, 19.5), (4, 7), (121, 7), (121, 19.6), color=BLUE)
    path(axes, (121, 7), (127.5, 7), (127.5, 19.6), color=BLUE)
    label(axes, (62, 4.6), "the features themselves, gated and not", color=BLUE)
    label(axes, (58, 12.6), "or TEA, TDN, none", color=ORANGE_TEXT, size=8)
    label(axes, (80, 12.6), "or TAM, of patches, none", color=GREEN, size=8)
    label(axes, (80, 30.5), r"$t \times t$ weights", color=INK, size=8)
    save(figure, __file__)


if __name__ == "__main__":
    main()
