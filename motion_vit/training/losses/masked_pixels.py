"""The loss of masked autoencoding: the squared error of the pixels of tubelets that the encoder has not seen.

Source: the loop in `engine_for_pretraining.py` of MCG-NJU/VideoMAE (arXiv 2203.12602, section 3.3) and, for tokens that
do not count, of OpenGVLab/VideoMAEv2 (arXiv 2303.16727, equation 5).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from motion_vit.ops.tubelets import Size, tubelet_pixels

_EPSILON = 1e-6

Colours = Float[Array, "b t places 1 3"]


class TubeletStatistics(NamedTuple):
    """Mean and standard deviation of each colour of a tubelet, which a target was normalised by."""

    mean: Colours
    std: Colours


def tubelet_statistics(pixels: Float[Array, "b t places pixels 3"]) -> TubeletStatistics:
    """Computes mean and standard deviation of each colour of each tubelet; the variance is the unbiased one.

    Args:
      pixels: of `tubelet_pixels`.

    Returns:
      Both; to the deviation the small number is added that keeps a tubelet of one colour from a division by zero.
    """
    deviation = jnp.std(pixels, axis=3, ddof=1, keepdims=True)
    return TubeletStatistics(jnp.mean(pixels, axis=3, keepdims=True), deviation + _EPSILON)


def masked_targets(
    pixels: Float[Array, "b t h w 3"], tubelet: Size, *, normalise: bool = True
) -> Float[Array, "b t2 places outputs"]:
    """Makes what is to be predicted of each tubelet.

    Args:
      pixels: clips in [0, 1], not the model's inputs.
      tubelet: frames, rows and columns of a tubelet.
      normalise: whether each colour of a tubelet has its mean taken away and is divided by its deviation.

    Returns:
      The numbers of each tubelet, in the order of frames, rows, columns and colours.

    Raises:
      ValueError: a clip is no whole number of tubelets.
    """
    cut = tubelet_pixels(pixels, tubelet)
    if normalise:
        mean, std = tubelet_statistics(cut)
        cut = (cut - mean) / std
    return cut.reshape(*cut.shape[:3], cut.shape[3] * cut.shape[4])


def masked_pixel_loss(
    predictions: Float[Array, "b t n outputs"],
    targets: Float[Array, "b t n outputs"],
    counted: Bool[Array, "b t n"],
) -> Float[Array, " b"]:
    """Computes the mean squared error of each clip, over the tubelets that count.

    Args:
      predictions: of the autoencoder.
      targets: of the same tubelets.
      counted: whether a tubelet counts: whether the encoder has not seen it.

    Returns:
      The loss of each clip; 0 where no tubelet counts.
    """
    errors = jnp.mean(jnp.square(predictions - targets), axis=-1)
    counts = counted.astype(errors.dtype)
    return jnp.sum(errors * counts, axis=(1, 2)) / jnp.maximum(jnp.sum(counts, axis=(1, 2)), 1.0)
