"""Differences between the frames of a clip, the simplest sign of motion."""

from jaxtyping import Array, Float

from motion_vit.ops.frame_pairs import shift_frames

Frames = Float[Array, "b t *rest"]


def frame_difference(x: Frames) -> Frames:
    """Subtracts each frame from the next: frame `t` of the result is `x[t + 1] - x[t]`.

    The frame after the last counts as zeros, so that the last one of the result is `-x[t]` (M2A, arXiv 2111.09976;
    `Motion` in the authors' `ops/temporal_shift.py`).

    Args:
      x: features of a clip.

    Returns:
      Differences of the shape of `x`.
    """
    return shift_frames(x, 1) - x


def neighbour_difference(x: Frames, neighbour: Frames, *, offset: int) -> Frames:
    """Subtracts each frame from a neighbour: frame `t` of the result is `neighbour[t + offset] - x[t]`.

    Frames without a neighbour get zero (TEA, arXiv 2004.01398, and TDN, arXiv 2012.10071, where `neighbour` is a
    convolution of `x`).

    Args:
      x: features of a clip.
      neighbour: features of the neighbouring frames, of the shape of `x`.
      offset: distance to the neighbour in frames; negative for an earlier one.

    Returns:
      Differences of the shape of `x`.
    """
    # Two shifts, of which the second brings the zeros: nothing has to be cut, which split frames would be gathered for.
    return shift_frames(neighbour - shift_frames(x, -offset), offset)
