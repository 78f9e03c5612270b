"""The temporal shift of TSM, which mixes neighbouring frames without arithmetic."""

import itertools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from motion_vit.ops.frame_pairs import shift_frames


def temporal_shift(x: Float[Array, "b t *space c"], *, folds: int = 8) -> Float[Array, "b t *space c"]:
    """Takes some channels from the neighbouring frames (arXiv 1811.08383; `TemporalShift` of mit-han-lab's code).

    Args:
      x: features of clips.
      folds: number of equal parts of the channels. The first comes from the next frame, the second from the previous
        one, and the others stay. A part has `c // folds` channels. Missing frames are zero.

    Returns:
      Features of the same shape.

    Raises:
      ValueError: there are fewer channels than `folds`.
    """
    channels = x.shape[-1]
    part = channels // folds
    if part == 0:
        raise ValueError(f"a temporal shift of 1 in {folds} channels needs at least {folds} of them, got {channels}")
    bounds = (0, part, 2 * part, channels)
    following, previous, own = (lax.slice_in_dim(x, start, stop, axis=-1) for start, stop in itertools.pairwise(bounds))
    return jnp.concatenate([shift_frames(following, 1), shift_frames(previous, -1), own], axis=-1)
