"""Random patterns that look alike at every place and every zoom, so that a single picture of one tells neither.

A pattern is smooth noise around one wavelength, on a seamless tile. A `CyclicTexture` sums octaves of such noise under
a fixed window of wavelengths, as a Shepard tone does with pitch. Zooming in fades coarse noise out and fine noise in,
endlessly, and the statistics of the picture never change.
"""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import Float, Float32

# Side of a tile in texels, and the wavelength of its noise in texels: eight waves before the pattern repeats.
_TILE = 64
_TEXELS_PER_WAVE = 8
# Half the bandwidth of a tile's noise, in octaves.
_BANDWIDTH = 0.35
# Half the width of the window of wavelengths, in octaves. The squared weights of the octaves in it add up to a
# constant, so that the contrast of the pattern does not tell its zoom.
_WINDOW = 1.5
_WINDOW_POWER = 9 / 8
# Number of different tiles: twice what one picture shows, so that a clip hardly sees the first come back.
_OCTAVES = 6


def noise_tiles(random: np.random.Generator, count: int) -> Float32[np.ndarray, "count tile tile"]:
    """Draws seamless tiles of smooth noise, whose distribution is symmetric about 0.

    Args:
      random: source of the draws.
      count: number of tiles.

    Returns:
      Tiles with mean 0 and standard deviation 1.
    """
    vertical = np.fft.fftfreq(_TILE)[:, None]
    horizontal = np.fft.rfftfreq(_TILE)[None, :]
    frequency = np.hypot(vertical, horizontal)
    frequency[0, 0] = np.finfo(np.float64).tiny
    octaves = np.log2(frequency * _TEXELS_PER_WAVE)
    envelope = np.exp(-0.5 * np.square(octaves / _BANDWIDTH))
    spectrum = np.fft.rfft2(random.standard_normal((count, _TILE, _TILE))) * envelope
    tiles = np.fft.irfft2(spectrum, s=(_TILE, _TILE))
    return (tiles / tiles.std(axis=(1, 2), keepdims=True)).astype(np.float32)


def sample_noise(
    tile: Float32[np.ndarray, "tile tile"],
    x: Float[np.ndarray, "h w"],
    y: Float[np.ndarray, "h w"],
    wavelength: float,
) -> Float32[np.ndarray, "h w"]:
    """Samples a tile, repeated over the whole plane.

    Args:
      tile: one tile of `noise_tiles`.
      x: horizontal places, in any unit.
      y: vertical places, in the same unit.
      wavelength: mean wavelength of the pattern in that unit.

    Returns:
      The pattern at those places, bilinear.
    """
    scale = _TEXELS_PER_WAVE / wavelength
    columns, rows = (x * scale).astype(np.float32), (y * scale).astype(np.float32)
    return cv2.remap(tile, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


@dataclasses.dataclass(frozen=True)
class CyclicTexture:
    """A pattern that can be zoomed into without end, around the origin.

    Attributes:
      tiles: the noise of successive octaves; after the last comes the first again.
      wavelength: centre of the window of visible wavelengths.
    """

    tiles: Float32[np.ndarray, "octaves tile tile"]
    wavelength: float

    @classmethod
    def draw(cls, random: np.random.Generator, wavelength: float) -> "CyclicTexture":
        """Draws the noise of a texture.

        Args:
          random: where the randomness comes from.
          wavelength: centre of the window of visible wavelengths, in the unit of the places to be sampled.

        Returns:
          The texture.
        """
        return cls(noise_tiles(random, _OCTAVES), wavelength)

    def sample(
        self, x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"], zoom: float
    ) -> Float32[np.ndarray, "h w"]:
        """Looks the pattern up.

        Args:
          x: horizontal distance from the point that zooming leaves in place.
          y: vertical distance from it.
          zoom: how far the pattern has been zoomed into, in octaves: 1.0 makes everything twice as large.

        Returns:
          The pattern, with mean 0 and standard deviation 1 over all textures.
        """
        pattern = np.zeros(x.shape, np.float32)
        for octave in range(math.ceil(-_WINDOW - zoom), math.floor(_WINDOW - zoom) + 1):
            offset = octave + zoom
            weight = math.cos(math.pi * offset / (2 * _WINDOW)) ** 2
            tile = self.tiles[octave % len(self.tiles)]
            pattern += weight * sample_noise(tile, x, y, self.wavelength * 2**offset)
        return pattern / math.sqrt(_WINDOW_POWER)
