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
        mean, std = self._channels()
        return (clips.astype(jnp.float32) / 255.0 - mean) / std

    def denormalise(self, inputs: Float[Array, "b t h w 3"]) -> UInt8[Array, "b t h w 3"]:
        """Makes pictures of what a model sees.

        Args:
          inputs: normalised clips, also augmented ones.

        Returns:
          RGB from 0 to 255, rounded; what lies outside, such as the noise of random erasing, is cut off.
        """
        mean, std = self._channels()
        pixels = (inputs.astype(jnp.float32) * std + mean) * 255.0
        return jnp.clip(jnp.round(pixels), 0, 255).astype(jnp.uint8)

    def _channels(self) -> tuple[Float[Array, "1 1 1 1 3"], Float[Array, "1 1 1 1 3"]]:
        """Mean and standard deviation in the rank of clips."""
        mean, std = (jnp.asarray(values, jnp.float32).reshape(1, 1, 1, 1, 3) for values in (self.mean, self.std))
        return mean, std


def normalization(config: ConfigDict) -> Normalization:
    """The normalisation of a recipe.

    Args:
      config: the recipe.

    Returns:
      The normalisation.
    """
    return Normalization(tuple(config.data.mean), tuple(config.data.std))
