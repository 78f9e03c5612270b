"""Cost-volume attention: every query attends to its neighbourhood in the paired frame.

One affinity serves two purposes. As a cost volume it says where each patch went; as attention logits it gathers the
values found there. Follows EMIM (arXiv 2510.18705, equations 3 to 6; `Attention` with `attn_type="extra_attn64"` in the
authors' `slowfast/models/uniformer.py`).

For a query at row `i`, column `j` and a `K x K` window (`K` odd, radius `r = K // 2`) the affinity at displacement
`(u, v)` is

    A[i, j, u, v] = <q[i, j] / sqrt(d), k[i + u - r, j + v - r]> + bias[u, v]

The window is always centred on the query. Candidates outside the image are not masked: the authors pad keys and values
with the constant `1e-6`, and so their logit is `1e-6 * sum(q) / sqrt(d) + bias` whatever the image holds. Every
implementation except the reference uses that scalar instead of a padded grid of keys.

Frames are paired by the caller: see `motion_vit.ops.frame_pairs`.
"""

import operator
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motion_vit.ops import neighbourhood
from motion_vit.ops.linear import linear
from motion_vit.ops.motion_branch import MotionBranch

IMPLEMENTATIONS = (*neighbourhood.IMPLEMENTATIONS, "pallas")
"""The names that `implementation` accepts."""

Heads = neighbourhood.Heads
Band = neighbourhood.Band
MotionInput = Literal["affinity", "softmax"]


def cost_volume(
    query: Float[Array, "b n h w heads d"],
    key: Float[Array, "b n h w heads d"],
    position_bias: Float[Array, "heads k k"] | None = None,
    *,
    window: int,
    implementation: str | None = None,
) -> Float[Array, "b n h w heads p"]:
    """Computes each query's affinity with its `window x window` neighbourhood in the paired frame (EMIM equation 3).

    Args:
      query: queries, not yet scaled; scaled here by `d ** -0.5`.
      key: keys of the paired frames.
      position_bias: bias of each displacement, or None.
      window: side `K` of the neighbourhood, odd.
      implementation: see `cost_volume_attention`.

    Returns:
      Affinity in float32 (float64 for float64 queries). Displacement `p = u * K + v` reaches row `i + u - K // 2` and
      column `j + v - K // 2`.

    Raises:
      ValueError: what is given are no arrays of floating point numbers, shapes do not agree, the window is even, or the
        implementation is unknown.
    """
    _check(query, key, position_bias, window)
    # The kernel holds the affinities on the chip: to see them, another form writes them out.
    form = _choose_form(None if implementation == "pallas" else implementation, query)
    return jnp.moveaxis(_affinity(form, _heads_first(query), _heads_first(key), position_bias, window), 2, 4)


def cost_volume_attention(
    query: Float[Array, "b n h w heads d"],
    key: Float[Array, "b n h w heads d"],
    value: Float[Array, "b n h w heads d"],
    position_bias: Float[Array, "heads k k"] | None = None,
    motion: MotionBranch | None = None,
    *,
    window: int,
    motion_input: MotionInput = "affinity",
    implementation: str | None = None,
) -> Float[Array, "b n h w heads d"]:
    """Computes appearance and motion features from one cost volume (EMIM equations 3 to 6).

    The appearance branch is the softmax of the affinity over displacements, in float32, applied to the values. The
    motion branch is a small network on the affinity itself.

    Args:
      query: queries of each frame pair, not yet scaled.
      key: keys of the paired frame.
      value: values of the paired frame.
      position_bias: bias of each displacement, or None.
      motion: weights of the motion branch; None computes the appearance branch alone.
      window: side `K` of the neighbourhood, odd.
      motion_input: input of the motion branch: the raw "affinity" (the paper) or its "softmax" (ablation).
      implementation: name of the implementation; all give the same numbers. None chooses an XLA form by platform and
        map size. "xla_window" gathers every window (the readable reference; memory `K * K` times that of the keys).
        "xla_dense" takes the band out of all-pairs affinities by pads and reshapes (no gather or scatter: GPU).
        "xla_folded" does so on arrays of few axes (ONNX and LiteRT). "xla_onehot" takes the band by matrix products
        with a one-hot array (the fastest on TPU). "xla_take" takes it by indexing (the fastest on CPU). "xla_strip"
        works on strips of rows (large maps). "pallas" is one kernel for TPU that keeps all but its inputs and its
        output on the chip. It was compiled for TPUs and interpreted on CPU, but has not run on a TPU yet.

    Returns:
      The sum of both branches, in the dtype of `value`.

    Raises:
      ValueError: what is given are no arrays of floating point numbers, shapes do not agree, the window is even, or the
        implementation or the motion input is unknown.
    """
    _check(query, key, position_bias, window)
    _check_motion(motion, window, query.shape[5])
    _check_arrays(value=value)
    if value.shape != key.shape:
        raise ValueError(f"key and value must have one shape, but are {key.shape} and {value.shape}")
    if motion_input not in ("affinity", "softmax"):
        raise ValueError(f"motion_input is {motion_input!r}, but must be 'affinity' or 'softmax'")
    if implementation == "pallas":
        # Imported where it is chosen: nobody else needs Pallas.
        from motion_vit.ops.cost_volume_kernel import cost_volume_attention_kernel

        return cost_volume_attention_kernel(
            query, key, value, position_bias, motion, window=window, motion_input=motion_input
        )
    form = _choose_form(implementation, query)
    affinity = _affinity(form, _heads_first(query), _heads_first(key), position_bias, window)
    weights = jax.nn.softmax(affinity, axis=-1)
    output = form.aggregate(weights.astype(value.dtype), _heads_first(value), window)
    if motion is not None:
        motion_features = _motion_branch(affinity if motion_input == "affinity" else weights, motion, value.dtype)
        output = output + motion_features
    return jnp.moveaxis(output, 2, 4)


def check_implementation(implementation: str | None) -> None:
    """Refuses a name that no implementation has.

    Args:
      implementation: see `cost_volume_attention`.

    Raises:
      ValueError: there is none of that name.
    """
    if implementation is not None and implementation not in IMPLEMENTATIONS:
        known = ", ".join(IMPLEMENTATIONS)
        raise ValueError(f"unknown implementation {implementation!r} of cost-volume attention: choose from {known}")


def check_window(window: int) -> None:
    """Refuses a window that has no place for the query.

    Args:
      window: side `K` of the neighbourhood.

    Raises:
      ValueError: it is no odd number of 1 or more.
    """
    try:
        side = operator.index(window)
    except TypeError:
        side = 0
    if side < 1 or side % 2 == 0:
        raise ValueError(
            f"window is {window!r}, but must be a positive odd number: the neighbourhood is centred on the query"
        )


def _choose_form(implementation: str | None, query: Array) -> neighbourhood.Form:
    check_implementation(implementation)
    return neighbourhood.choose_form(implementation, query.shape[2], query.shape[3])


def _heads_first(x: Float[Array, "b n h w heads d"]) -> Heads:
    return jnp.moveaxis(x, 4, 2)


def _check(query: Array, key: Array, position_bias: Array | None, window: int) -> None:
    check_window(window)
    _check_arrays(query=query, key=key)
    if position_bias is not None:
        _check_arrays(position_bias=position_bias)
    if query.ndim != 6 or query.shape != key.shape:
        raise ValueError(
            "query and key must both be [batch, pairs, height, width, heads, channels], "
            f"but are {query.shape} and {key.shape}"
        )
    if position_bias is not None and position_bias.shape != (query.shape[4], window, window):
        raise ValueError(
            f"position_bias has shape {position_bias.shape}, but {query.shape[4]} heads and window {window} "
            f"need {(query.shape[4], window, window)}"
        )


def _check_arrays(**arrays: Array) -> None:
    """Refuses what is no array of floating point numbers: of whole ones, weights below 1 would become 0."""
    for name, array in arrays.items():
        dtype = getattr(array, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            found = type(array).__name__ if dtype is None else dtype
            raise ValueError(f"{name} is {found}, but must be an array of floating point numbers")


def _check_motion(motion: MotionBranch | None, window: int, channels: int) -> None:
    """Checks window and channels of the weights, because arrays of length 1 would be broadcast."""
    if motion is None:
        return
    if not isinstance(motion, MotionBranch):
        raise ValueError(
            f"motion is {type(motion).__name__}, but must be a MotionBranch of motion_vit.ops.motion_branch"
        )
    _check_arrays(**motion._asdict())
    hidden = motion.hidden_kernel.shape[-1]
    expected = ((window * window, hidden), (hidden,), (hidden, channels), (channels,))
    if (found := tuple(weight.shape for weight in motion)) != expected:
        raise ValueError(
            f"the motion branch has weights of the shapes {found}, but window {window} and heads of {channels} "
            f"channels need {expected}"
        )


def _affinity(
    form: neighbourhood.Form,
    query: Heads,
    key: Heads,
    position_bias: Float[Array, "heads k k"] | None,
    window: int,
) -> Band:
    affinity = form.affinity(query * query.shape[-1] ** -0.5, key, window)
    if position_bias is not None:
        bias = position_bias.reshape(1, 1, position_bias.shape[0], 1, 1, window * window)
        affinity = affinity + bias.astype(affinity.dtype)
    return affinity


def _motion_branch(affinity: Band, motion: MotionBranch, dtype: jnp.dtype) -> Heads:
    hidden_kernel, hidden_bias, output_kernel, output_bias = (weight.astype(dtype) for weight in motion)
    hidden = linear(affinity.astype(dtype), hidden_kernel, hidden_bias)
    hidden = hidden * jax.nn.sigmoid(1.702 * hidden)  # QuickGELU, as the authors use here
    return linear(hidden, output_kernel, output_bias)
