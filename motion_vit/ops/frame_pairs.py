"""Pairs of frames of a clip, for `motion_vit.ops.cost_volume`.

A clip of `T` frames has `T - |offset|` pairs of a query frame and the key frame `offset` later. The last pair also
serves the frames without a partner. This is exact, because the authors repeat it (`Attention` with
`attn_type="extra_attn64"` in the EMIM authors' `slowfast/models/uniformer.py`).

`T - |offset|` pairs do not split evenly over devices that hold equal parts of the frames: the compiler would gather the
clip to cut it. Therefore `pair_all_frames` and `repeat_nearest_pair` keep `T` frames throughout, for the arithmetic of
`|offset|` more pairs, and only shift frames, which compiles to an exchange of frames at the borders.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Frames = Float[Array, "b t *rest"]
Pairs = Float[Array, "b n *rest"]


def pair_frames(query: Frames, key: Frames, value: Frames, *, offset: int = 1) -> tuple[Pairs, Pairs, Pairs]:
    """Pairs the queries of each frame with the keys and values `offset` frames later.

    Args:
      query: queries of a clip of `t` frames.
      key: keys of the same clip.
      value: values of the same clip.
      offset: distance to the key frame, in frames; negative pairs each frame with an earlier one.

    Returns:
      Queries, keys and values of the `n = t - |offset|` pairs.

    Raises:
      ValueError: the clip has no such pair.
    """
    _check(query, offset)
    if offset > 0:
        return query[:, :-offset], key[:, offset:], value[:, offset:]
    return query[:, -offset:], key[:, :offset], value[:, :offset]


def repeat_last_pair(pairs: Pairs, *, offset: int = 1) -> Frames:
    """Gives the frames without a partner the result of the nearest pair: `n` pairs become `t = n + |offset|` frames."""
    missing = abs(offset)
    edge = pairs[:, -1:] if offset > 0 else pairs[:, :1]
    copies = jnp.broadcast_to(edge, (edge.shape[0], missing, *edge.shape[2:]))
    return jnp.concatenate([pairs, copies] if offset > 0 else [copies, pairs], axis=1)


def pair_all_frames(query: Frames, key: Frames, value: Frames, *, offset: int = 1) -> tuple[Frames, Frames, Frames]:
    """Makes the pairs of `pair_frames` at the places of their query frames; the other places hold keys of zero.

    Args:
      query: queries of a clip of `t` frames.
      key: keys of the same clip.
      value: values of the same clip.
      offset: distance to the key frame, in frames; negative pairs each frame with an earlier one.

    Returns:
      Queries, keys and values of `t` pairs; `repeat_nearest_pair` replaces the results of frames without a partner.

    Raises:
      ValueError: the clip has no such pair.
    """
    _check(query, offset)
    return query, shift_frames(key, offset), shift_frames(value, offset)


def repeat_nearest_pair(pairs: Frames, *, offset: int = 1) -> Frames:
    """Gives the frames without a partner the result of the nearest pair: replaces `|offset|` of `t` results."""
    frames = pairs.shape[1]
    number = jnp.arange(frames).reshape(1, -1, *(1,) * (pairs.ndim - 2))
    # One after the other, from the nearest pair outwards, so that each copies its neighbour.
    alone = range(frames - offset, frames) if offset > 0 else range(-offset - 1, -1, -1)
    for frame in alone:
        pairs = jnp.where(number == frame, shift_frames(pairs, -1 if offset > 0 else 1), pairs)
    return pairs


def shift_frames(x: Frames, offset: int) -> Frames:
    """Shifts frames: frame `t` of the result is frame `t + offset` of `x`, or zero where the clip has none."""
    # One pad with a negative edge: over devices that split the frames, an exchange of the frames at the borders.
    edges = [(0, 0, 0)] * x.ndim
    edges[1] = (-offset, offset, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _check(query: Frames, offset: int) -> None:
    frames = query.shape[1]
    if offset == 0 or abs(offset) >= frames:
        raise ValueError(
            f"no frame pairs at offset {offset} in a clip of {frames} frames: a clip needs at least {abs(offset) + 1}"
        )
