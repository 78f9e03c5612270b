"""Backgrounds that stand for classes, to tie the look of videos to their labels."""

import dataclasses
import math

import numpy as np

from motion_vit.data.embedded.cyclic_texture import noise_tiles
from motion_vit.data.embedded.scene_parts import GREY, Background, Paint

# The looks are those of the renderer, not of a dataset: a model that has learned them finds them in every other one.
_SEED = 2211_12883
# How far colours are from grey and patterns from their colour: as far as those of other backgrounds may be.
_COLOUR, _CONTRAST = 30.0, 16.0


def with_look(background: Background, number: int, count: int) -> Background:
    """Gives a background the look of a class: its texture, wavelength and colours. The drift stays.

    Colours go round the circle of hues, so that those of all classes differ as much as they can.

    Args:
      background: of a scene.
      number: of the class, from 0.
      count: of all classes.

    Returns:
      The background with that look.
    """
    random = np.random.default_rng([_SEED, number])
    hue = 2 * math.pi * (number / count - np.arange(3) / 3)
    drawn = Paint.draw(random, base=_COLOUR, contrast=_CONTRAST)
    paint = Paint((GREY + _COLOUR * np.cos(hue)).astype(np.float32).reshape(3, 1, 1), drawn.contrast)
    tile = noise_tiles(random, 1)[0]
    return dataclasses.replace(background, tile=tile, wavelength=random.uniform(0.2, 0.4), paint=paint)
