"""Perceptually uniform colour maps that colour-blind readers can read, and values drawn with them."""

import functools
from typing import Literal

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8

ColorMap = Literal["viridis", "magma", "cividis", "coolwarm"]

SEQUENTIAL: ColorMap = "viridis"
"""For what has no sign, in tables: affinities, attention of frames."""

OVERLAY: ColorMap = "magma"
"""For what is laid over a video: it starts at black, and few videos are purple and yellow."""

DIVERGING: ColorMap = "coolwarm"
"""For what has a sign: blue below zero, grey as the frame beneath at it, red above (Moreland, ISVC 2009)."""

_ENTRIES = 256


@functools.cache
def color_table(name: ColorMap) -> UInt8[np.ndarray, "256 3"]:
    """Returns the colours of a map, from its least value to its greatest.

    Args:
      name: the colour map.

    Returns:
      RGB from 0 to 255.
    """
    colors = matplotlib.colormaps[name](np.linspace(0, 1, _ENTRIES))
    return np.round(colors[:, :3] * 255).astype(np.uint8)


def colorize(
    values: Float[np.ndarray, "*shape"], limits: tuple[float, float], name: ColorMap = SEQUENTIAL
) -> UInt8[np.ndarray, "*shape 4"]:
    """Draws values as colours.

    Args:
      values: numbers; NaN for missing ones.
      limits: values of the first and the last colour; values outside get the nearest of the two.
      name: the colour map.

    Returns:
      RGB and opacity from 0 to 255; transparent where a value is missing.
    """
    least, greatest = limits
    span = greatest - least or 1.0
    known = np.isfinite(values)
    places = np.clip(np.where(known, (values - least) / span, 0.0), 0.0, 1.0)
    colors = color_table(name)[np.round(places * (_ENTRIES - 1)).astype(np.int64)]
    return np.concatenate([colors, np.where(known, 255, 0)[..., None].astype(np.uint8)], axis=-1)


def value_limits(values: Float[np.ndarray, "..."], *, signed: bool = False, share: float = 1.0) -> tuple[float, float]:
    """Chooses the limits of a colour bar for values.

    Args:
      values: numbers; NaN for missing ones.
      signed: whether the limits are symmetric about zero.
      share: for unsigned values, the share that must not exceed the upper limit.

    Returns:
      The least and the greatest value; (0, 1), or (-1, 1) if signed, if all values are missing, infinite or zero.
    """
    finite = values[np.isfinite(values)]
    if not finite.size or not finite.any():
        return (-1.0, 1.0) if signed else (0.0, 1.0)
    if signed:
        reach = float(np.abs(finite).max())
        return -reach, reach
    return float(finite.min()), float(np.quantile(finite, share)) or float(finite.max())
