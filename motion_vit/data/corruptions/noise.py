"""Noise of sensors and of transmission, drawn anew for each frame, pixel and colour.

Strengths are those of ImageNet-C (Hendrycks and Dietterich, ICLR 2019, arXiv 1903.12261; `make_imagenet_c.py` of
hendrycks/robustness). Salt and pepper, which it has only together as impulse noise, take the same shares.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

Clip = UInt8[np.ndarray, "t h w 3"]

_DEVIATIONS = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviation, of levels from 0 to 1."""
_PHOTONS = (60.0, 25.0, 12.0, 5.0, 3.0)
"""Mean number of events where a pixel is white."""
_SHARES = (0.03, 0.06, 0.09, 0.17, 0.27)
"""Share of the values that are replaced."""


def gaussian_noise(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Adds noise of a normal distribution, as sensors have in the dark.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: source of the draw.

    Returns:
      A new clip.
    """
    noise = rng.standard_normal(clip.shape, np.float32)
    return _levels(clip / np.float32(255) + np.float32(_DEVIATIONS[severity - 1]) * noise)


def shot_noise(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Counts photons: every level becomes a draw of the Poisson distribution with that mean.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: source of the draw.

    Returns:
      A new clip.
    """
    photons = _PHOTONS[severity - 1]
    return _levels(rng.poisson(clip * (photons / 255)) / photons)


def impulse_noise(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Replaces values by black or white, each with the same probability.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: source of the draw.

    Returns:
      A new clip.
    """
    replaced = _replaced(clip, severity, rng)
    return np.where(replaced, np.where(rng.random(clip.shape, np.float32) < 0.5, 0, 255), clip).astype(np.uint8)


def salt_noise(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Replaces values by white.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: source of the draw.

    Returns:
      A new clip.
    """
    return np.where(_replaced(clip, severity, rng), 255, clip).astype(np.uint8)


def pepper_noise(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Replaces values by black.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: source of the draw.

    Returns:
      A new clip.
    """
    return np.where(_replaced(clip, severity, rng), 0, clip).astype(np.uint8)


def _replaced(clip: Clip, severity: int, rng: np.random.Generator) -> Bool[np.ndarray, "t h w 3"]:
    return rng.random(clip.shape, np.float32) < _SHARES[severity - 1]


def _levels(values: Float[np.ndarray, "t h w 3"]) -> Clip:
    """Makes levels of values from 0 to 1; what lies outside is clipped."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
