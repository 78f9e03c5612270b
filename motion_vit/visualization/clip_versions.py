"""Runs a model on many changed versions of a clip, a few at once."""

import functools
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.checked_model import refusals_told
from motion_vit.models.video_model import VideoModel
from motion_vit.training.inference.ranking import finite_rows

Clip = Float[np.ndarray, "t h w 3"]

# Pixels of all versions that the model takes at once, which bounds the memory, and versions where clips are small.
_MOST_PIXELS = 2_000_000
_MOST_VERSIONS = 16


def version_logits(
    model: VideoModel, variables: Mapping[str, Any], versions: Iterable[Clip]
) -> Float[np.ndarray, "n classes"]:
    """Computes the logits of versions of a clip.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      versions: normalised clips of one shape, at least one; they are taken as they are needed.

    Returns:
      Logits of each version, float32.

    Raises:
      UserError: the model cannot take such clips.
    """
    remaining = iter(versions)
    first = next(remaining)
    at_once = min(max(_MOST_PIXELS // int(np.prod(first.shape[:3])), 1), _MOST_VERSIONS)
    logits = []
    with refusals_told(first.shape):
        for batch in _batches(itertools.chain([first], remaining), at_once):
            # A last batch of another size would be another program to compile.
            padded = np.stack([*batch, *[batch[0]] * (at_once - len(batch))])
            logits.append(np.asarray(_logits(model, variables, padded), np.float32)[: len(batch)])
    return np.concatenate(logits)


def version_probabilities(
    model: VideoModel, variables: Mapping[str, Any], versions: Iterable[Clip]
) -> Float[np.ndarray, "n classes"]:
    """Computes the probabilities of the classes of versions of a clip; see `version_logits`.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      versions: normalised clips of one shape.

    Returns:
      Probabilities of each version.

    Raises:
      UserError: the model cannot take such clips, or answers with NaN or infinity.
    """
    logits = version_logits(model, variables, versions)
    if not finite_rows(logits).all():
        raise UserError("the logits of a changed clip are NaN or infinite, so that no class has a probability.")
    return np.asarray(jax.nn.softmax(logits))


def grey(clip: Clip) -> Clip:
    """Makes a clip of the same shape that shows nothing: normalised zeros, which are pixels of the mean colour."""
    return np.zeros_like(clip)


def _batches(versions: Iterable[Clip], size: int) -> Iterable[list[Clip]]:
    # `itertools.batched` came with Python 3.12.
    remaining = iter(versions)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


@functools.partial(jax.jit, static_argnames="model")
def _logits(
    model: VideoModel, variables: Mapping[str, Any], clips: Float[Array, "n t h w 3"]
) -> Float[Array, "n classes"]:
    return jnp.asarray(model.apply(variables, clips, train=False), jnp.float32)
