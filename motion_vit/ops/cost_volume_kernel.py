"""Cost-volume attention as one Pallas kernel for TPU, forward and backward.

XLA writes the affinities, the softmax and the hidden layer of the motion branch to memory, each of them several times
as large as the queries. The kernel keeps all of it on the chip: a program loads queries, keys and values of one frame
pair as the linear layer before leaves them, and writes the output as the one after takes it. The backward kernel
computes the affinities again.

All pairs of queries and keys are multiplied, and the band of the window is taken out by one skew. For that both are
laid out on a line: rows are `W + r` apart, `r = K // 2`, and the `r` places between the end of a row and the start of
the next hold the padding of both. Key `n + u * (W + r) + v` is then the one at displacement `(u, v)` of query `n`,
whatever `n` is, and rolling row `n` by `n` to the left puts every displacement into a column of its own. The hardware
rolls to the right alone; therefore queries are on the line in reverse where the band is taken out, and in order where
it is put back. Products with matrices of zeros and ones do all of the moving, in the unit that has time to spare.
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from motion_vit.ops.platform import current_platform

PADDING = 1e-6
"""What keys and values hold outside the image."""

_LANES = 128
_SUBLANES = 16
"""Rows are a multiple of this: of the tiles of float32 (8) and of bfloat16 (16)."""

_LARGEST_PRODUCT = 1 << 19
"""Queries times keys of a frame pair: several arrays of so many numbers must fit the memory of the chip at once."""

Frames = Float[Array, "b n tokens c"]
MotionInput = Literal["affinity", "softmax", "none"]


class Motion(NamedTuple):
    """Weights of the motion branch; see `motion_vit.ops.cost_volume.MotionBranch`."""

    hidden_kernel: Array
    hidden_bias: Array
    output_kernel: Array
    output_bias: Array


def cost_volume_attention_kernel(
    query: Float[Array, "b n h w heads d"],
    key: Float[Array, "b n h w heads d"],
    value: Float[Array, "b n h w heads d"],
    position_bias: Float[Array, "heads k k"] | None,
    motion: Sequence[Array] | None,
    *,
    window: int,
    motion_input: Literal["affinity", "softmax"],
) -> Float[Array, "b n h w heads d"]:
    """`motion_vit.ops.cost_volume.cost_volume_attention` as a kernel, for checked arguments.

    Where a mesh of several devices is set, each of them runs it on its share of the clips, which are taken to be split
    evenly over them. On CPU the kernel is interpreted, which is slow and for tests.

    Args:
      query: queries, not yet scaled.
      key: keys of the paired frame.
      value: values of the paired frame.
      position_bias: bias of each displacement, or None.
      motion: kernels and biases of the motion branch in the order of `Motion`, or None.
      window: side of the neighbourhood.
      motion_input: what the motion branch reads.

    Returns:
      The sum of both branches, in the dtype of `query`.

    Raises:
      ValueError: another platform or dtype, or more tokens in a frame than fit the chip.
    """
    platform = current_platform()
    batch, pairs, height, width, heads, features = query.shape
    line = _Line(height, width, window)
    if platform not in ("tpu", "cpu"):
        raise ValueError(f"the implementation 'pallas' runs on TPU, and interpreted on CPU, but not on {platform!r}")
    if query.dtype not in (jnp.float32, jnp.bfloat16):
        raise ValueError(f"the implementation 'pallas' takes float32 and bfloat16, not {query.dtype}")
    if line.queries * line.keys > _LARGEST_PRODUCT:
        raise ValueError(
            f"frames of {height} x {width} tokens with a window of {window} are too large for the implementation "
            "'pallas': choose 'xla_strip'"
        )
    form = _Form(line, "none" if motion is None else motion_input, interpret=platform == "cpu")
    frames = (x.reshape(batch, pairs, height * width, heads * features) for x in (query, key, value))
    attend = _on_every_device(functools.partial(_attend, form), batch)
    return attend(*frames, _weights(form, heads, position_bias, motion, query.dtype)).reshape(query.shape)


class _Line(NamedTuple):
    """The line of a frame of `height x width` tokens whose windows have `window` places a side."""

    height: int
    width: int
    window: int

    @property
    def stride(self) -> int:
        """From one row to the next; no two displacements may share a column."""
        return max(self.width + self.window // 2, self.window)

    @property
    def queries(self) -> int:
        """Places for queries."""
        return _round_up(self.height * self.stride, _SUBLANES)

    @property
    def columns(self) -> int:
        """Columns of the band; the displacement `(K - 1, K - 1)` is the last that is used."""
        return _round_up((self.window - 1) * self.stride + self.window, _LANES)

    @property
    def keys(self) -> int:
        """Places for keys."""
        return _round_up(self.queries + self.columns, _LANES)

    @property
    def displacement_columns(self) -> np.ndarray:
        """The column of each displacement `u * K + v`."""
        down, right = np.divmod(np.arange(self.window**2), self.window)
        return down * self.stride + right


class _Form(NamedTuple):
    """What a program is compiled for."""

    line: _Line
    motion_input: MotionInput
    interpret: bool


class _Constants(NamedTuple):
    """Matrices of zeros and ones.

    Attributes:
      in_order: `[queries, tokens]`, from tokens to their places.
      reversed: `[queries, tokens]`, the same with the places in reverse.
      turn: `[queries, queries]`, from one to the other.
      keys: `[keys, tokens]`, from tokens to their places among the keys.
      outside: `[keys, 1]`, 1 at places of keys that hold no token.
      inside: `[1, columns]`, 1 at columns that are a displacement.
    """

    in_order: Array
    reversed: Array
    turn: Array
    keys: Array
    outside: Array
    inside: Array


class _Weights(NamedTuple):
    """The learned weights as the kernel reads them.

    Attributes:
      bias: `[heads, columns]`, of each column of the band.
      motion: kernels `[columns, hidden]` and `[hidden, d]`, biases `[1, hidden]` and `[1, d]`; empty without one.
    """

    bias: Array
    motion: tuple[Array, ...]


def _constants(line: _Line, dtype: Any) -> _Constants:
    tokens = np.arange(line.height * line.width)
    row, column = np.divmod(tokens, line.width)
    reach = line.window // 2
    in_order = np.zeros((line.queries, len(tokens)), np.float32)
    in_order[row * line.stride + column, tokens] = 1
    keys = np.zeros((line.keys, len(tokens)), np.float32)
    keys[(row + reach) * line.stride + column + reach, tokens] = 1
    inside = np.zeros((1, line.columns), np.float32)
    inside[0, line.displacement_columns] = 1
    return _Constants(
        in_order=jnp.asarray(in_order, dtype),
        reversed=jnp.asarray(in_order[::-1], dtype),
        turn=jnp.asarray(np.eye(line.queries, dtype=np.float32)[::-1], dtype),
        keys=jnp.asarray(keys, dtype),
        outside=jnp.asarray(1 - keys.sum(axis=1, keepdims=True)),
        inside=jnp.asarray(inside),
    )


def _weights(
    form: _Form, heads: int, position_bias: Array | None, motion: Sequence[Array] | None, dtype: Any
) -> _Weights:
    line = form.line
    bias = jnp.zeros((heads, line.columns), jnp.float32)
    if position_bias is not None:
        bias = bias.at[:, line.displacement_columns].set(position_bias.reshape(heads, -1).astype(jnp.float32))
    if motion is None:
        return _Weights(bias, ())
    branch = Motion(*motion)
    hidden_kernel = jnp.zeros((line.columns, branch.hidden_kernel.shape[1]), dtype)
    hidden_kernel = hidden_kernel.at[line.displacement_columns].set(branch.hidden_kernel.astype(dtype))
    biases = (branch.hidden_bias[None].astype(jnp.float32), branch.output_bias[None].astype(jnp.float32))
    return _Weights(bias, Motion(hidden_kernel, biases[0], branch.output_kernel.astype(dtype), biases[1]))


def _on_every_device(attend: Any, batch: int) -> Any:
    """Splits the clips over the devices of the mesh that is set; the compiler cannot split a kernel by itself."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size <= 1 or batch % mesh.size:
        return attend
    clips, whole = PartitionSpec(mesh.axis_names), PartitionSpec()
    # What a kernel returns is not known to vary from device to device, so that it cannot be checked.
    return jax.shard_map(attend, in_specs=(clips, clips, clips, whole), out_specs=clips, check_vma=False)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(form: _Form, query: Frames, key: Frames, value: Frames, weights: _Weights) -> Frames:
    return _attend_forward(form, query, key, value, weights)[0]


def _attend_forward(
    form: _Form, query: Frames, key: Frames, value: Frames, weights: _Weights
) -> tuple[Frames, tuple[Frames, Frames, Frames, _Weights]]:
    constants = _constants(form.line, query.dtype)
    output = pl.pallas_call(
        functools.partial(_forward_kernel, form.motion_input),
        grid=query.shape[:2],
        in_specs=_specs(((query, key, value), constants, weights)),
        out_specs=_of_pair(query),
        out_shape=jax.ShapeDtypeStruct(query.shape, query.dtype),
        interpret=form.interpret,
        name="cost_volume_attention",
    )((query, key, value), constants, weights)
    return output, (query, key, value, weights)


def _attend_backward(
    form: _Form, saved: tuple[Frames, Frames, Frames, _Weights], gradient: Frames
) -> tuple[Frames, Frames, Frames, _Weights]:
    *frames, weights = saved
    constants = _constants(form.line, gradient.dtype)
    shapes = [jax.ShapeDtypeStruct(gradient.shape, gradient.dtype)] * 3
    sums = jax.tree.map(lambda weight: jax.ShapeDtypeStruct(weight.shape, jnp.float32), weights)
    (d_query, d_key, d_value), totals = pl.pallas_call(
        functools.partial(_backward_kernel, form.motion_input),
        grid=gradient.shape[:2],
        in_specs=_specs(((*frames, gradient), constants, weights)),
        out_specs=_specs((shapes, sums)),
        out_shape=(shapes, sums),
        # Gradients of weights add up from program to program.
        compiler_params=pltpu.CompilerParams(dimension_semantics=("arbitrary", "arbitrary")),
        interpret=form.interpret,
        name="cost_volume_attention_gradient",
    )((*frames, gradient), constants, weights)
    return d_query, d_key, d_value, jax.tree.map(lambda total, weight: total.astype(weight.dtype), totals, weights)


_attend.defvjp(_attend_forward, _attend_backward)


def _specs(arrays: Any) -> Any:
    """One frame pair of each array that has them, the whole of each other one."""
    return jax.tree.map(lambda array: _of_pair(array) if array.ndim == 4 else _whole(array), arrays)


def _of_pair(frames: Any) -> pl.BlockSpec:
    return pl.BlockSpec((1, 1, *frames.shape[2:]), lambda clip, pair: (clip, pair, 0, 0))


def _whole(array: Any) -> pl.BlockSpec:
    return pl.BlockSpec(array.shape, lambda clip, pair: (0, 0))


def _dot(left: Array, right: Array, axes: tuple[int, int] = (1, 0)) -> Array:
    """A product in float32, of the full precision of its operands."""
    precision = lax.Precision.HIGHEST if left.dtype == jnp.float32 else lax.Precision.DEFAULT
    numbers = (((axes[0],), (axes[1],)), ((), ()))
    return lax.dot_general(left, right, numbers, precision=precision, preferred_element_type=jnp.float32)


def _band(every_pair: Array, columns: int) -> Array:
    """From `[reversed queries, keys]` to `[reversed queries, columns]`."""
    queries, keys = every_pair.shape
    return pltpu.roll(every_pair, keys - (queries - 1), axis=1, stride=1, stride_axis=0)[:, :columns]


def _every_pair(band: Array, keys: int) -> Array:
    """From `[queries, columns]` to `[queries, keys]`, 0 outside of the band."""
    wide = jnp.pad(band, ((0, 0), (0, keys - band.shape[1])))
    return pltpu.roll(wide, 0, axis=1, stride=1, stride_axis=0)


def _keys_on_line(frame: Array, constants: _Constants) -> Array:
    return (_dot(constants.keys, frame) + PADDING * constants.outside).astype(frame.dtype)


def _attention(query: Array, key: Array, bias: Array, inside: Array) -> tuple[Array, Array]:
    """Affinities of reversed queries, 0 in columns that are no displacement, and their softmax."""
    affinity = jnp.where(inside > 0, _band(_dot(query, key, (1, 1)), inside.shape[1]) + bias, 0.0)
    logits = jnp.where(inside > 0, affinity, -jnp.inf)
    exponentials = jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True))
    return affinity, exponentials / jnp.sum(exponentials, axis=1, keepdims=True)


def _hidden_layer(features: Array, motion: Motion) -> tuple[Array, Array]:
    """The hidden layer before its activation, and the sigmoid of the QuickGELU."""
    before = _dot(features, motion.hidden_kernel[...]) + motion.hidden_bias[...]
    return before, jax.nn.sigmoid(1.702 * before)


def _forward_kernel(motion_input: MotionInput, frame_refs: Any, constant_refs: Any, weights: Any, out_ref: Any) -> None:
    query, key, value = (ref[0, 0] for ref in frame_refs)
    constants = _Constants(*(ref[...] for ref in constant_refs))
    dtype = query.dtype
    heads = weights.bias.shape[0]
    features = query.shape[1] // heads
    query = (_dot(constants.reversed, query) * features**-0.5).astype(dtype)
    key, value = (_keys_on_line(frame, constants) for frame in (key, value))
    for head in range(heads):
        part = slice(head * features, (head + 1) * features)
        affinity, attention = _attention(query[:, part], key[:, part], weights.bias[head : head + 1], constants.inside)
        in_order = _dot(constants.turn, attention.astype(dtype))
        appearance = _dot(_every_pair(in_order, key.shape[0]).astype(dtype), value[:, part])
        output = _dot(constants.in_order, appearance.astype(dtype), (0, 0))
        if motion_input != "none":
            read = affinity if motion_input == "affinity" else attention
            before, sigmoid = _hidden_layer(read.astype(dtype), weights.motion)
            hidden = (before * sigmoid).astype(dtype)
            motion = _dot(hidden, weights.motion.output_kernel[...]) + weights.motion.output_bias[...]
            output += _dot(constants.reversed, motion.astype(dtype), (0, 0))
        out_ref[0, 0, :, part] = output.astype(dtype)


def _backward_kernel(
    motion_input: MotionInput, frame_refs: Any, constant_refs: Any, weights: Any, d_frame_refs: Any, sums: Any
) -> None:
    query, key, value, gradient = (ref[0, 0] for ref in frame_refs)
    constants = _Constants(*(ref[...] for ref in constant_refs))
    d_query_ref, d_key_ref, d_value_ref = d_frame_refs
    dtype = query.dtype
    heads = weights.bias.shape[0]
    features = query.shape[1] // heads
    scale = features**-0.5

    @pl.when((pl.program_id(0) == 0) & (pl.program_id(1) == 0))
    def _start() -> None:
        for ref in jax.tree.leaves(sums):
            ref[...] = jnp.zeros_like(ref)

    query_in_order = (_dot(constants.in_order, query) * scale).astype(dtype)
    query = (_dot(constants.reversed, query) * scale).astype(dtype)
    gradient_in_order = _dot(constants.in_order, gradient).astype(dtype)
    gradient = _dot(constants.reversed, gradient).astype(dtype)
    key, value = (_keys_on_line(frame, constants) for frame in (key, value))
    for head in range(heads):
        part = slice(head * features, (head + 1) * features)
        affinity, attention = _attention(query[:, part], key[:, part], weights.bias[head : head + 1], constants.inside)
        d_attention = _band(_dot(gradient[:, part], value[:, part], (1, 1)), affinity.shape[1]) * constants.inside
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

        turned = (_dot(constants.turn, band.astype(dtype)) for band in (d_affinity, attention))
        d_pairs, pairs = (_every_pair(band, key.shape[0]).astype(dtype) for band in turned)
        d_query = _dot(d_pairs, key[:, part]).astype(dtype)
        d_key = _dot(d_pairs, query_in_order[:, part], (0, 0)).astype(dtype)
        d_value = _dot(pairs, gradient_in_order[:, part], (0, 0)).astype(dtype)
        d_query_ref[0, 0, :, part] = (_dot(constants.in_order, d_query, (0, 0)) * scale).astype(dtype)
        d_key_ref[0, 0, :, part] = _dot(constants.keys, d_key, (0, 0)).astype(dtype)
        d_value_ref[0, 0, :, part] = _dot(constants.keys, d_value, (0, 0)).astype(dtype)


def _motion_gradients(read: Array, gradient: Array, weights: Any, sums: Any) -> Array:
    """Adds the gradients of the motion branch's weights to their sums; returns that of what the branch read."""
    before, sigmoid = _hidden_layer(read, weights)
    hidden = (before * sigmoid).astype(read.dtype)
    d_hidden = _dot(gradient, weights.output_kernel[...], (1, 1))
    d_before = d_hidden * sigmoid * (1 + 1.702 * before * (1 - sigmoid))
    sums.hidden_kernel[...] += _dot(read, d_before.astype(read.dtype), (0, 0))
    sums.hidden_bias[...] += jnp.sum(d_before, axis=0, keepdims=True)
    sums.output_kernel[...] += _dot(hidden, gradient, (0, 0))
    sums.output_bias[...] += jnp.sum(gradient.astype(jnp.float32), axis=0, keepdims=True)
    return _dot(d_before.astype(read.dtype), weights.hidden_kernel[...], (1, 1))


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
