"""Pixels to the numbers a model sees, on the device, so that only bytes cross to it."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of red, green and blue, of pixels scaled to [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, clips: UInt8[Array, "b t h w 3"]) -> Float[Array, "b t h w 3"]:
        """Normalises clips.

        Args:
          clips: RGB from 0 to 255.

        Returns:
          `(clips / 255 - mean) / std` in float32.
        """
        mean = jnp.asarray(self.mean, jnp.float32).reshape(1, 1, 1, 1, 3)
        std = jnp.asarray(self.std, jnp.float32).reshape(1, 1, 1, 1, 3)
        return (clips.astype(jnp.float32) / 255.0 - mean) / std


def normalization(config: ConfigDict) -> Normalization:
    """The normalisation of a recipe.

    Args:
      config: the recipe.

    Returns:
      The normalisation.
    """
    return Normalization(tuple(config.data.mean), tuple(config.data.std))
