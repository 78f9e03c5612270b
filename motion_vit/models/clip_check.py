"""The check of the clips that a model is called with."""

import jax.numpy as jnp
from jaxtyping import Array


def check_clips(clips: Array) -> None:
    """Refuses what is not a batch of normalised clips.

    Args:
      clips: what a model was given.

    Raises:
      ValueError: it is not `[batch, frames, height, width, 3]`, or of whole numbers: pixels as they come out of a
        video, which a model would take for colours brighter than any, and answer wrongly.
    """
    if clips.ndim != 5 or clips.shape[-1] != 3:
        raise ValueError(f"expected clips [batch, frames, height, width, 3], got {clips.shape}")
    if not jnp.issubdtype(clips.dtype, jnp.floating):
        raise ValueError(
            f"expected normalised clips of floating point numbers, got {clips.dtype}: scale pixels to [0, 1], subtract "
            "the mean and divide by the standard deviation that the model was trained with, as "
            "`motion_vit.training.inputs.normalization.Normalization` does"
        )
