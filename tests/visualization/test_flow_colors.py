import numpy as np
import pytest

from motion_vit.visualization.flow_colors import color_wheel, flow_colors, wheel_picture


def test_the_wheel_has_the_published_55_colours() -> None:
    wheel = color_wheel()
    assert wheel.shape == (55, 3)
    # Where each of the six parts of makecolorwheel begins, and one step into each.
    assert wheel[[0, 15, 21, 25, 36, 49]].tolist() == [
        [255, 0, 0],
        [255, 255, 0],
        [0, 255, 0],
        [0, 255, 255],
        [0, 0, 255],
        [255, 0, 255],
    ]
    assert wheel[[1, 16, 22, 26, 37, 50]].tolist() == [
        [255, 17, 0],
        [213, 255, 0],
        [0, 255, 63],
        [0, 232, 255],
        [19, 0, 255],
        [255, 0, 213],
    ]


@pytest.mark.parametrize(
    ("x", "y", "color"),
    [(1, 0, (255, 0, 0)), (0, 1, (255, 229, 0)), (-1, 0, (0, 209, 255)), (0, -1, (88, 0, 255)), (0, 0, (255,) * 3)],
)
def test_directions_have_the_colours_of_the_benchmark(x: float, y: float, color: tuple[int, int, int]) -> None:
    assert tuple(flow_colors(np.array([x, y], np.float64) * 7, 7.0)) == color


def test_slower_motion_is_paler_and_motion_beyond_the_scale_darker() -> None:
    slow, full, fast = flow_colors(np.array([[0.5, 0.0], [1.0, 0.0], [2.0, 0.0]]), 1.0)
    assert slow.tolist() == [255, 127, 127]
    assert full.tolist() == [255, 0, 0]
    assert fast.tolist() == [191, 0, 0]


def test_unknown_motion_is_black() -> None:
    assert flow_colors(np.array([np.nan, 1.0]), 1.0).tolist() == [0, 0, 0]


def test_the_legend_shows_each_direction_on_its_own_side() -> None:
    legend = wheel_picture(101)
    assert legend[50, 100, 0] > 250 > legend[50, 0, 0]  # red on the right, not on the left
    assert legend[100, 50, 2] < 30  # yellow below
    assert legend[0, 50, 2] > 250  # violet above
    assert legend[0, 0, 3] == 0
