"""Cost-volume attention as one Pallas kernel for TPU, forward and backward.

XLA writes the affinities, the softmax and the hidden layer of the motion branch to memory, each several times as large
as the queries. The kernel keeps all of them on the chip: a program loads queries, keys and values of one frame pair as
the linear layer before leaves them, and writes the output as the one after takes it. The backward kernel recomputes the
affinities. `motion_vit.ops.skewed_band` describes how the window is taken out of the products of all pairs.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.ops.motion_branch import MotionBranch
from motion_vit.ops.on_every_device import on_every_device
from motion_vit.ops.skewed_band import Line, Placement, keys_on_line, placement, put_band, take_band
from motion_vit.ops.tpu_kernel import CHIP_BYTES, dot, kernel_platform

_LARGEST_PRODUCT_BYTES = 1 << 20
"""Queries times keys of a frame pair, in the dtype of the queries: several such arrays must fit the chip at once."""

Frames = Float[Array, "b n tokens c"]
MotionInput = Literal["affinity", "softmax", "none"]


def cost_volume_attention_kernel(
    query: Float[Array, "b n h w heads d"],
    key: Float[Array, "b n h w heads d"],
    value: Float[Array, "b n h w heads d"],
    position_bias: Float[Array, "heads k k"] | None,
    motion: MotionBranch | None,
    *,
    window: int,
    motion_input: Literal["affinity", "softmax"],
) -> Float[Array, "b n h w heads d"]:
    """Computes `motion_vit.ops.cost_volume.cost_volume_attention` in a kernel, for checked arguments.

    On a mesh of several devices, each runs it on its share of the clips. On CPU the kernel is interpreted, which is
    slow and meant for tests.

    Args:
      query: queries, not yet scaled.
      key: keys of the paired frame.
      value: values of the paired frame.
      position_bias: bias of each displacement, or None.
      motion: weights of the motion branch, or None.
      window: side of the neighbourhood.
      motion_input: see `cost_volume_attention`.

    Returns:
      The sum of both branches, in the dtype of `query`.

    Raises:
      ValueError: the platform or the dtype is not supported, or a frame has more tokens than fit the chip.
    """
    batch, pairs, height, width, heads, features = query.shape
    line = Line(height, width, window)
    platform = _check(line, query.dtype)
    form = _Form(line, "none" if motion is None else motion_input, interpret=platform == "cpu")
    frames = (x.reshape(batch, pairs, height * width, heads * features) for x in (query, key, value))
    weights = _weights(form, heads, position_bias, motion, query.dtype)
    output = on_every_device(functools.partial(_attend, form), *frames, weights, split=(True, True, True, False))
    return output.reshape(query.shape)


def _check(line: Line, dtype: DTypeLike) -> str:
    """Checks that the kernel supports the arguments; returns the platform."""
    platform = kernel_platform(dtype)
    if line.queries * line.keys * jnp.dtype(dtype).itemsize > _LARGEST_PRODUCT_BYTES:
        raise ValueError(
            f"frames of {line.height} x {line.width} tokens with a window of {line.window} in {dtype} are too large "
            "for the implementation 'pallas': choose 'xla_strip'"
        )
    return platform


class _Form(NamedTuple):
    """The static arguments that a program is compiled for."""

    line: Line
    motion_input: MotionInput
    interpret: bool


class _Weights(NamedTuple):
    """The learned weights in the kernel's layout.

    Attributes:
      bias: `[heads, columns]`, of each column of the band.
      motion: kernels `[columns, hidden]` and `[hidden, d]`, biases `[1, hidden]` and `[1, d]`; empty without one.
    """

    bias: Array
    motion: tuple[Array, ...]


def _weights(form: _Form, heads: int, position_bias: Array | None, motion: MotionBranch | None, dtype: Any) -> _Weights:
    line = form.line
    bias = jnp.zeros((heads, line.columns), jnp.float32)
    if position_bias is not None:
        bias = bias.at[:, line.displacement_columns].set(position_bias.reshape(heads, -1).astype(jnp.float32))
    if motion is None:
        return _Weights(bias, ())
    hidden_kernel = jnp.zeros((line.columns, motion.hidden_kernel.shape[1]), dtype)
    hidden_kernel = hidden_kernel.at[line.displacement_columns].set(motion.hidden_kernel.astype(dtype))
    biases = (motion.hidden_bias[None].astype(jnp.float32), motion.output_bias[None].astype(jnp.float32))
    return _Weights(bias, MotionBranch(hidden_kernel, biases[0], motion.output_kernel.astype(dtype), biases[1]))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(form: _Form, query: Frames, key: Frames, value: Frames, weights: _Weights) -> Frames:
    return _attend_forward(form, query, key, value, weights)[0]


def _attend_forward(
    form: _Form, query: Frames, key: Frames, value: Frames, weights: _Weights
) -> tuple[Frames, tuple[Frames, Frames, Frames, _Weights]]:
    constants = placement(form.line, query.dtype)
    output = pl.pallas_call(
        functools.partial(_forward_kernel, form.motion_input),
        grid=query.shape[:2],
        in_specs=_specs(((query, key, value), constants, weights)),
        out_specs=_of_pair(query),
        out_shape=jax.ShapeDtypeStruct(query.shape, query.dtype),
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=_chip_bytes(query.dtype)),
        interpret=form.interpret,
        name="cost_volume_attention",
    )((query, key, value), constants, weights)
    return output, (query, key, value, weights)


def _attend_backward(
    form: _Form, saved: tuple[Frames, Frames, Frames, _Weights], gradient: Frames
) -> tuple[Frames, Frames, Frames, _Weights]:
    *frames, weights = saved
    constants = placement(form.line, gradient.dtype)
    shapes = [jax.ShapeDtypeStruct(gradient.shape, gradient.dtype)] * 3
    sums = jax.tree.map(lambda weight: jax.ShapeDtypeStruct(weight.shape, jnp.float32), weights)
    (d_query, d_key, d_value), totals = pl.pallas_call(
        functools.partial(_backward_kernel, form.motion_input),
        grid=gradient.shape[:2],
        in_specs=_specs(((*frames, gradient), constants, weights)),
        out_specs=_specs((shapes, sums)),
        out_shape=(shapes, sums),
        # Gradients of weights add up from program to program.
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("arbitrary", "arbitrary"), vmem_limit_bytes=_chip_bytes(gradient.dtype)
        ),
        interpret=form.interpret,
        name="cost_volume_attention_gradient",
    )((*frames, gradient), constants, weights)
    return d_query, d_key, d_value, jax.tree.map(lambda total, weight: total.astype(weight.dtype), totals, weights)


_attend.defvjp(_attend_forward, _attend_backward)


def _chip_bytes(dtype: DTypeLike) -> int | None:
    """Returns the memory of the chip that a program may take, or None for the compiler's own limit.

    Products of float32 at full precision hold operands in several parts. The compiler's limit suffices in bfloat16, and
    leaves more of the chip to the operations around the kernel.
    """
    return CHIP_BYTES if dtype == jnp.float32 else None


def _specs(arrays: Any) -> Any:
    """Makes block specs: one frame pair of each array that has pairs, and the whole of others."""
    return jax.tree.map(lambda array: _of_pair(array) if array.ndim == 4 else _whole(array), arrays)


def _of_pair(frames: Any) -> pl.BlockSpec:
    return pl.BlockSpec((1, 1, *frames.shape[2:]), lambda clip, pair: (clip, pair, 0, 0))


def _whole(array: Any) -> pl.BlockSpec:
    return pl.BlockSpec(array.shape, lambda clip, pair: (0, 0))


def _attention(query: Array, key: Array, bias: Array, inside: Array) -> tuple[Array, Array]:
    """Computes affinities of reversed queries, 0 in columns that are no displacement, and their softmax."""
    affinity = jnp.where(inside > 0, take_band(dot(query, key, (1, 1)), inside.shape[1]) + bias, 0.0)
    logits = jnp.where(inside > 0, affinity, -jnp.inf)
    exponentials = jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True))
    return affinity, exponentials / jnp.sum(exponentials, axis=1, keepdims=True)


def _hidden_layer(features: Array, motion: MotionBranch) -> tuple[Array, Array]:
    """Computes the hidden layer before its activation, and the sigmoid of the QuickGELU."""
    before = dot(features, motion.hidden_kernel[...]) + motion.hidden_bias[...]
    return before, jax.nn.sigmoid(1.702 * before)


def _forward_kernel(motion_input: MotionInput, frame_refs: Any, constant_refs: Any, weights: Any, out_ref: Any) -> None:
    query, key, value = (ref[0, 0] for ref in frame_refs)
    constants = Placement(*(ref[...] for ref in constant_refs))
    dtype = query.dtype
    heads = weights.bias.shape[0]
    features = query.shape[1] // heads
    query = (dot(constants.reversed, query) * features**-0.5).astype(dtype)
    key, value = (keys_on_line(frame, constants) for frame in (key, value))
    for head in range(heads):
        part = slice(head * features, (head + 1) * features)
        affinity, attention = _attention(query[:, part], key[:, part], weights.bias[head : head + 1], constants.inside)
        in_order = dot(constants.turn, attention.astype(dtype))
        appearance = dot(put_band(in_order, key.shape[0]).astype(dtype), value[:, part])
        output = dot(constants.in_order, appearance.astype(dtype), (0, 0))
        if motion_input != "none":
            read = affinity if motion_input == "affinity" else attention
            before, sigmoid = _hidden_layer(read.astype(dtype), weights.motion)
            hidden = (before * sigmoid).astype(dtype)
            motion = dot(hidden, weights.motion.output_kernel[...]) + weights.motion.output_bias[...]
            output += dot(constants.reversed, motion.astype(dtype), (0, 0))
        out_ref[0, 0, :, part] = output.astype(dtype)


def _backward_kernel(
    motion_input: MotionInput, frame_refs: Any, constant_refs: Any, weights: Any, d_frame_refs: Any, sums: Any
) -> None:
    query, key, value, gradient = (ref[0, 0] for ref in frame_refs)
    constants = Placement(*(ref[...] for ref in constant_refs))
    d_query_ref, d_key_ref, d_value_ref = d_frame_refs
    dtype = query.dtype
    heads = weights.bias.shape[0]
    features = query.shape[1] // heads
    scale = features**-0.5

    @pl.when((pl.program_id(0) == 0) & (pl.program_id(1) == 0))
    def _start() -> None:
        for ref in jax.tree.leaves(sums):
            ref[...] = jnp.zeros_like(ref)

    query_in_order = (dot(constants.in_order, query) * scale).astype(dtype)
    query = (dot(constants.reversed, query) * scale).astype(dtype)
    gradient_in_order = dot(constants.in_order, gradient).astype(dtype)
    gradient = dot(constants.reversed, gradient).astype(dtype)
    key, value = (keys_on_line(frame, constants) for frame in (key, value))
    for head in range(heads):
        part = slice(head * features, (head + 1) * features)
        affinity, attention = _attention(query[:, part], key[:, part], weights.bias[head : head + 1], constants.inside)
        d_attention = take_band(dot(gradient[:, part], value[:, part], (1, 1)), affinity.shape[1]) * constants.inside
        d_affinity = jnp.zeros_like(affinity)
        if motion_input != "none":
            read = affinity if motion_input == "affinity" else attention
            d_read = _motion_gradients(read.astype(dtype), gradient[:, part], weights.motion, sums.motion)
            if motion_input == "affinity":
                d_affinity += d_read
            else:
                d_attention += d_read
        d_affinity += attention * (d_attention - jnp.sum(attention * d_attention, axis=1, keepdims=True))
        sums.bias[head : head + 1] += jnp.sum(d_affinity, axis=0, keepdims=True)

        turned = (dot(constants.turn, band.astype(dtype)) for band in (d_affinity, attention))
        d_pairs, pairs = (put_band(band, key.shape[0]).astype(dtype) for band in turned)
        d_query = dot(d_pairs, key[:, part]).astype(dtype)
        d_key = dot(d_pairs, query_in_order[:, part], (0, 0)).astype(dtype)
        d_value = dot(pairs, gradient_in_order[:, part], (0, 0)).astype(dtype)
        d_query_ref[0, 0, :, part] = (dot(constants.in_order, d_query, (0, 0)) * scale).astype(dtype)
        d_key_ref[0, 0, :, part] = dot(constants.keys, d_key, (0, 0)).astype(dtype)
        d_value_ref[0, 0, :, part] = dot(constants.keys, d_value, (0, 0)).astype(dtype)


def _motion_gradients(read: Array, gradient: Array, weights: Any, sums: Any) -> Array:
    """Adds the gradients of the motion branch's weights to their sums; returns the gradient of its input."""
    before, sigmoid = _hidden_layer(read, weights)
    hidden = (before * sigmoid).astype(read.dtype)
    d_hidden = dot(gradient, weights.output_kernel[...], (1, 1))
    d_before = d_hidden * sigmoid * (1 + 1.702 * before * (1 - sigmoid))
    sums.hidden_kernel[...] += dot(read, d_before.astype(read.dtype), (0, 0))
    sums.hidden_bias[...] += jnp.sum(d_before, axis=0, keepdims=True)
    sums.output_kernel[...] += dot(hidden, gradient, (0, 0))
    sums.output_bias[...] += jnp.sum(gradient.astype(jnp.float32), axis=0, keepdims=True)
    return dot(d_before.astype(read.dtype), weights.hidden_kernel[...], (1, 1))
