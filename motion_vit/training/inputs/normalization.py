"""Normalises pixels on the device, so that only bytes are transferred to it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.modules.motion_prompt import ChannelOrder


@dataclasses.dataclass(frozen=True)
class Normalization:
    """The conversion of pixels to inputs of a model.

    Attributes:
      mean: mean of red, green and blue, of pixels scaled to [0, 1].
      std: standard deviation, in the same order.
      channel_order: order of the channels for the model. Videos are always decoded to RGB; for a model that was trained
        on BGR frames, as OpenCV reads them, the normalised channels are reversed.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: ChannelOrder = "rgb"

    def __call__(self, clips: UInt8[Array, "b t h w 3"]) -> Float[Array, "b t h w 3"]:
        """Normalises clips.

        Args:
          clips: RGB from 0 to 255.

        Returns:
          `(clips / 255 - mean) / std` in float32, in the model's order of channels.
        """
        mean, std = self._channels()
        return self._turned((clips.astype(jnp.float32) / 255.0 - mean) / std)

    def denormalise(self, inputs: Float[Array, "b t h w 3"]) -> UInt8[Array, "b t h w 3"]:
        """Makes pictures of inputs of the model.

        Args:
          inputs: normalised clips, also augmented ones.

        Returns:
          RGB from 0 to 255, rounded; values outside, such as the noise of random erasing, are clipped.
        """
        mean, std = self._channels()
        pixels = (self._turned(inputs).astype(jnp.float32) * std + mean) * 255.0
        return jnp.clip(jnp.round(pixels), 0, 255).astype(jnp.uint8)

    def converted(self, inputs: Float[Array, "b t h w 3"], other: "Normalization") -> Float[Array, "b t h w 3"]:
        """Makes inputs of another model of inputs that were normalised by this one.

        Args:
          inputs: normalised clips, also augmented and mixed ones: as both conversions are affine, a mixture of clips
            becomes the same mixture.
          other: what the other model was trained with.

        Returns:
          What `other` makes of the same pixels, in the dtype of the inputs; the inputs themselves where both are equal.
        """
        if other == self:
            return inputs
        mean, std = self._channels()
        other_mean, other_std = other._channels()
        pixels = self._turned(inputs).astype(jnp.float32) * std + mean
        return other._turned((pixels - other_mean) / other_std).astype(inputs.dtype)

    def _turned(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b t h w 3"]:
        """Converts red, green, blue to the model's order, or back."""
        return clips[..., ::-1] if self.channel_order == "bgr" else clips

    def _channels(self) -> tuple[Float[Array, "1 1 1 1 3"], Float[Array, "1 1 1 1 3"]]:
        """Returns mean and standard deviation in the rank of clips."""
        mean, std = (jnp.asarray(values, jnp.float32).reshape(1, 1, 1, 1, 3) for values in (self.mean, self.std))
        return mean, std


def normalization(config: ConfigDict) -> Normalization:
    """Reads the normalisation from a recipe.

    Args:
      config: the recipe.

    Returns:
      The normalisation.
    """
    return Normalization(tuple(config.data.mean), tuple(config.data.std), config.data.channel_order)


def check_pixels(clips: UInt8[Array | np.ndarray, "b t h w 3"]) -> UInt8[Array, "b t h w 3"]:
    """Refuses clips that are not pixels.

    Args:
      clips: RGB from 0 to 255.

    Returns:
      The clips on the device.

    Raises:
      UserError: what is no array, clips of another rank, or that are not uint8.
    """
    if not isinstance(clips, np.ndarray | jax.Array):
        raise UserError(
            f"clips are given as {type(clips).__name__}, but must be an array of NumPy or JAX "
            "[batch, frames, height, width, 3] of uint8. Files are classified by predict; of lists and of tensors of "
            "PyTorch, numpy.asarray makes arrays."
        )
    if clips.ndim != 5 or clips.shape[-1] != 3:
        advice = " clips[None] makes a batch of a single clip." if clips.ndim == 4 else ""
        raise UserError(
            f"clips have the shape {clips.shape}, but [batch, frames, height, width, 3] is expected.{advice}"
        )
    if clips.dtype != jnp.uint8:
        raise UserError(
            f"clips are {clips.dtype}, but uint8 from 0 to 255 is expected, which is normalised here. Of values in "
            "[0, 1] make them with (255 * clips).round().astype('uint8'); clips that are normalised already go to "
            "model.apply as they are."
        )
    return jnp.asarray(clips)
