"""Motion as colours: the wheel of the Middlebury benchmark, where hue is direction and saturation is speed.

Source: Baker et al., "A database and evaluation methodology for optical flow" (IJCV 2011), and `colorcode.cpp` of its
code. x points right and y down; right is red, down yellow, left cyan and up violet; no motion is white.
"""

import functools

import numpy as np
from jaxtyping import Float, UInt8

# Steps of the wheel from one colour to the next: red, yellow, green, cyan, blue, magenta, and back to red.
_STEPS = (15, 6, 4, 11, 13, 6)
# Which of red, green and blue stays at its greatest in each of them, and which one changes, up or down.
_FULL = (0, 1, 1, 2, 2, 0)
_CHANGING = (1, 0, 2, 1, 0, 2)
_RISES = (True, False, True, False, True, False)
# Faster than the scale: the colour of the greatest speed, darkened to this share.
_OUT_OF_SCALE = 0.75
_UNKNOWN = 0


@functools.cache
def color_wheel() -> UInt8[np.ndarray, "55 3"]:
    """Makes the 55 colours of the wheel, from red over yellow, green, cyan, blue and magenta.

    Returns:
      RGB from 0 to 255.
    """
    wheel = np.zeros((sum(_STEPS), 3), np.uint8)
    first = 0
    for steps, full, changing, rises in zip(_STEPS, _FULL, _CHANGING, _RISES, strict=True):
        ramp = 255 * np.arange(steps) // steps
        wheel[first : first + steps, full] = 255
        wheel[first : first + steps, changing] = ramp if rises else 255 - ramp
        first += steps
    return wheel


def flow_colors(flow: Float[np.ndarray, "*shape 2"], greatest: float) -> UInt8[np.ndarray, "*shape 3"]:
    """Draws motion as colours.

    Args:
      flow: (x, y), x to the right and y down.
      greatest: speed of full saturation, in the unit of `flow`.

    Returns:
      RGB from 0 to 255. Faster motion is darker, and unknown motion (NaN) is black.
    """
    known = np.isfinite(flow).all(axis=-1)
    x, y = np.moveaxis(np.where(known[..., None], flow, 0.0) / max(greatest, np.finfo(np.float32).tiny), -1, 0)
    speed = np.hypot(x, y)
    wheel = color_wheel().astype(np.float64) / 255
    place = (np.arctan2(-y, -x) / np.pi + 1) / 2 * (len(wheel) - 1)
    lower = place.astype(np.int64)
    share = (place - lower)[..., None]
    colors = (1 - share) * wheel[lower] + share * wheel[(lower + 1) % len(wheel)]
    within = (speed <= 1)[..., None]
    colors = np.where(within, 1 - speed[..., None] * (1 - colors), colors * _OUT_OF_SCALE)
    return np.where(known[..., None], np.floor(255 * colors), _UNKNOWN).astype(np.uint8)


def wheel_picture(size: int) -> UInt8[np.ndarray, "size size 4"]:
    """Draws the legend: each point of a disc has the colour of the motion from the centre to it.

    Args:
      size: height and width in pixels.

    Returns:
      RGB and opacity from 0 to 255; transparent outside of the disc, whose edge is the scale's greatest speed.
    """
    reach = (np.arange(size) + 0.5) / size * 2 - 1
    flow = np.stack(np.meshgrid(reach, reach), axis=-1)
    inside = np.hypot(flow[..., 0], flow[..., 1]) <= 1
    return np.concatenate([flow_colors(flow, 1.0), np.where(inside, 255, 0)[..., None].astype(np.uint8)], axis=-1)
