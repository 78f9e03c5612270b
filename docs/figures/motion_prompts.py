"""Draws `motion_prompts.svg`: two frames, their difference, the learned curve, and the prompt."""

import numpy as np
from diagram import BLUE, arrow, canvas, label, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, HEIGHT = 132.0, 40.0
PIXELS = 48


def main() -> None:
    """Draws the figure."""
    figure, axes = canvas(WIDTH, HEIGHT)
    rng = np.random.default_rng(0)
    ground = 0.35 + 0.25 * np.kron(rng.random((8, 8)), np.ones((6, 6)))
    frames = [_with_disc(ground, column) for column in (16.0, 26.0)]
    difference = frames[1] - frames[0]
    # m = 1 and n = 0.3: a is the slope, b the shift.
    a, b = 5 / (0.45 * np.tanh(1.0) + 0.1), 0.6 * np.tanh(0.3)
    attention = 1 / (1 + np.exp(-a * (difference - b)))

    _picture(figure, 2, frames[0], "gray", 0, 1)
    _picture(figure, 24, frames[1], "gray", 0, 1)
    label(axes, (11, 34), "grey frame $t$")
    label(axes, (33, 34), "grey frame $t+1$")
    arrow(axes, (43, 20), (47, 20))
    _picture(figure, 48, difference, "PuOr", -0.7, 0.7)
    label(axes, (57, 34), "difference $D_t$")
    arrow(axes, (67, 20), (71, 20))
    curve = _axes(figure, 75, 14)
    x = np.linspace(-0.7, 0.7, 100)
    curve.plot(x, 1 / (1 + np.exp(-a * (x - b))), color=BLUE)
    curve.axvline(b, color="#999999", linewidth=0.8, linestyle=":")
    curve.set(xticks=[0], yticks=[0, 1], ylim=(-0.05, 1.05))
    curve.tick_params(labelsize=7, length=2)
    label(axes, (82, 34), "slope $a(m)$, shift $b(n)$", color=BLUE)
    arrow(axes, (90, 20), (93.5, 20))
    _picture(figure, 94.5, attention, "cividis", 0, 1)
    label(axes, (103.5, 34), "attention $A_t$")
    label(axes, (103.5, 6), "times frame $t+1$ =")
    _picture(figure, 113.5, attention * frames[1], "gray", 0, 1)
    label(axes, (122.5, 34), "prompt")
    save(figure, __file__)


def _with_disc(ground: np.ndarray, column: float) -> np.ndarray:
    rows, columns = np.mgrid[:PIXELS, :PIXELS]
    return np.where(np.hypot(rows - 24, columns - column) < 9, 0.95, ground)


def _axes(figure: Figure, left: float, side: float) -> Axes:
    return figure.add_axes((left / WIDTH, (20 - side / 2) / HEIGHT, side / WIDTH, side / HEIGHT))


def _picture(figure: Figure, left: float, values: np.ndarray, colors: str, low: float, high: float) -> None:
    axes = _axes(figure, left, 18)
    axes.imshow(values, cmap=colors, vmin=low, vmax=high)
    axes.set_axis_off()


if __name__ == "__main__":
    main()
