"""Checks of the fields and inputs of layers; each mistake is a sentence that says what was expected."""

import operator
from collections.abc import Mapping
from typing import Any, get_args

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float


def check_choices(layer: nn.Module, choices: Mapping[str, Any]) -> None:
    """Refuses a field that is none of its choices.

    Args:
      layer: whose fields are checked.
      choices: field -> the `Literal` type of its values.

    Raises:
      ValueError: there is one.
    """
    for name, choice in choices.items():
        if getattr(layer, name) not in get_args(choice):
            allowed = ", ".join(get_args(choice))
            raise ValueError(
                f"{name} of {type(layer).__name__} is {getattr(layer, name)!r}, but must be one of {allowed}"
            )


def check_counts(layer: nn.Module, *names: str) -> None:
    """Refuses a field that is no whole number of 1 or more.

    Args:
      layer: whose fields are checked.
      *names: the fields.

    Raises:
      ValueError: there is one.
    """
    for name in names:
        value = getattr(layer, name)
        if not is_count(value):
            raise ValueError(f"{name} of {type(layer).__name__} is {value!r}, but must be a whole number of 1 or more")


def is_count(value: Any) -> bool:
    """Tells if a value is a whole number of 1 or more, of Python or of another library."""
    try:
        return operator.index(value) >= 1
    except TypeError:
        return False


def check_features(x: Float[Array, "b t h w c"]) -> None:
    """Refuses what are no features of clips.

    Args:
      x: what a layer was given.

    Raises:
      ValueError: it is no array `[batch, frames, height, width, channels]` of floating point numbers.
    """
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if shape is None or dtype is None:
        raise ValueError(f"expected features [batch, frames, height, width, channels], got {type(x).__name__}")
    if len(shape) != 5:
        advice = "; x[None] makes a batch of a single clip" if len(shape) == 4 else ""
        raise ValueError(f"expected features [batch, frames, height, width, channels], got {shape}{advice}")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"expected features of floating point numbers, got {dtype}: convert them with astype")


def check_clips(clips: Array) -> None:
    """Refuses what is not a batch of normalised clips.

    Args:
      clips: what a model was given.

    Raises:
      ValueError: it is not `[batch, frames, height, width, 3]`, has no frames or pixels, or is of whole numbers:
        pixels as they come out of a video, which a model would take for colours brighter than any, and answer wrongly.
    """
    if clips.ndim != 5 or clips.shape[-1] != 3:
        raise ValueError(f"expected clips [batch, frames, height, width, 3], got {clips.shape}")
    if 0 in clips.shape[1:4]:
        raise ValueError(f"expected clips of at least one frame and one pixel, got {clips.shape}")
    if not jnp.issubdtype(clips.dtype, jnp.floating):
        raise ValueError(
            f"expected normalised clips of floating point numbers, got {clips.dtype}: scale pixels to [0, 1], subtract "
            "the mean and divide by the standard deviation that the model was trained with, as "
            "`motion_vit.training.inputs.normalization.Normalization` does"
        )
