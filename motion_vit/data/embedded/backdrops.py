"""Still pictures to put behind an object, which no training video shows: textures and stripes."""

import math
from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.embedded.scene_parts import Background, PixelGrid

BackdropName = Literal["texture", "stripes"]

BACKDROPS: tuple[BackdropName, ...] = get_args(BackdropName)
"""Names of the kinds of pictures."""

# Side of the crop, in pixels, that the numbers of the published stripes are for.
_PUBLISHED_SIDE = 224
_MIDDLE = 128


def draw_backdrop(name: BackdropName, random: np.random.Generator, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Draws a picture.

    Args:
      name: "texture", a background as the renderer draws them for videos of no look; or "stripes", see `draw_stripes`.
      random: source of the draws.
      size: height and width in pixels.

    Returns:
      The picture, RGB.
    """
    if name == "stripes":
        return draw_stripes(random, size)
    picture = Background.draw(random).render(PixelGrid.of(size), 0.0)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8).transpose(1, 2, 0)


def draw_stripes(random: np.random.Generator, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Draws stripes along a sine curve, of a random colour on its complement.

    The third kind of background of SCUBA (Li et al., arXiv 2211.12883). The curve is `y = A sin(w x + phi) + 128`, with
    `A` uniform in [10, 110] and the wavelength in [4, 1004] pixels. The line along it has a half-width in [5, 20],
    measured along `y`. It is repeated every 3 to 5 half-widths, and all is turned by any angle.

    Lengths are in pixels of a crop of 224, scaled to `size`. The pattern has no end, so that no larger picture need be
    turned and cropped.

    Args:
      random: source of the draws.
      size: height and width in pixels.

    Returns:
      The picture, RGB.
    """
    colour = random.uniform(0.0, 1.0, 3)
    amplitude, wavelength = random.uniform(10, 110), random.uniform(4, 1004)
    phase, angle = random.uniform(0, 2 * math.pi, 2)
    half_width = random.uniform(5, 20)
    spacing = half_width * random.uniform(3, 5)
    grid = PixelGrid.of(size)
    right, down = (grid.x - 0.5) * _PUBLISHED_SIDE, (grid.y - 0.5) * _PUBLISHED_SIDE
    x = math.cos(angle) * right + math.sin(angle) * down
    y = math.cos(angle) * down - math.sin(angle) * right
    above = y - amplitude * np.sin(2 * math.pi * x / wavelength + phase) - _MIDDLE
    is_line = np.abs(above - spacing * np.rint(above / spacing)) <= half_width
    picture = np.where(is_line[:, :, None], colour, 1.0 - colour)
    return np.rint(255 * picture).astype(np.uint8)
