import numpy as np
import pytest

from motion_vit.visualization.color_maps import DIVERGING, OVERLAY, SEQUENTIAL, color_table, colorize, value_limits


def lightness(colors: np.ndarray) -> np.ndarray:
    """CIE lightness of sRGB colours, from 0 to 100."""
    linear = np.where(colors / 255 <= 0.04045, colors / 255 / 12.92, ((colors / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, 24389 / 27 * luminance)


@pytest.mark.parametrize("name", [SEQUENTIAL, OVERLAY])
def test_lightness_alone_tells_more_from_less(name: str) -> None:
    """So that a reader who sees no hues, or a print in grey, has the same order and about the same steps."""
    steps = np.diff(lightness(color_table(name).astype(float))[::16])
    assert (steps > 0).all()
    assert steps.max() < 2 * steps.min() + 3


def test_the_diverging_map_is_grey_at_zero_and_as_dark_on_both_sides() -> None:
    colors = color_table(DIVERGING).astype(float)
    light = lightness(colors)
    assert light.argmax() in range(120, 136)
    assert abs(light[0] - light[-1]) < 2
    assert np.ptp(colors[128]) < 5


def test_values_become_the_colours_of_the_table_and_gaps_are_transparent() -> None:
    colors = colorize(np.array([0.0, 1.0, 9.0, np.nan]), (0.0, 1.0))
    assert colors[0, :3].tolist() == color_table(SEQUENTIAL)[0].tolist()
    assert colors[1].tolist() == colors[2].tolist() == [*color_table(SEQUENTIAL)[-1], 255]
    assert colors[3, 3] == 0


def test_limits_leave_gaps_out_and_can_have_zero_in_the_middle() -> None:
    assert value_limits(np.array([1.0, np.nan, 3.0])) == (1.0, 3.0)
    assert value_limits(np.array([-1.0, 3.0]), signed=True) == (-3.0, 3.0)
    assert value_limits(np.array([np.nan])) == (0.0, 1.0)
