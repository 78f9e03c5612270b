"""Global attention as one Pallas kernel for TPU, forward and backward.

XLA writes the attention weights to memory several times, and they are hundreds of times as large as the queries. The
kernel keeps them on the chip. A program takes some queries, and all keys and values of as many heads of a clip as fill
the lanes. While it goes on to the next queries, the keys and values stay, so that each array is read once. Heads lie
side by side, as the linear layer before leaves them. A program sees whole rows of weights, so the backward kernel
recomputes the weights without help from the forward one.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.ops.on_every_device import on_every_device
from motion_vit.ops.tpu_kernel import CHIP_BYTES, dot, kernel_platform

_LANES = 128
_SUBLANES = 16
"""Queries of a program are a multiple of this: of the tiles of float32 (8) and of bfloat16 (16)."""

_LOGITS_BYTES = 3 << 20
"""What the logits of a program may take; the backward kernel holds several arrays of their size."""

_LARGEST_CLIP_BYTES = 36 << 20
"""What the keys and values of a program, their gradients and the sums of these may take, `_clip_bytes`."""

Queries = Float[Array, "b n channels"]
Keys = Float[Array, "b m channels"]


def global_attention_kernel(
    query: Float[Array, "b n heads d"], key: Float[Array, "b m heads d"], value: Float[Array, "b m heads d"]
) -> Float[Array, "b n heads d"]:
    """Computes `motion_vit.ops.global_attention.global_attention` in a kernel, for checked arguments.

    On a mesh of several devices, each runs it on its share of the clips. On CPU the kernel is interpreted, which is
    slow and meant for tests.

    Args:
      query: queries, not yet scaled.
      key: of the tokens attended to.
      value: of the tokens attended to.

    Returns:
      Attention output, in the dtype of `query`.

    Raises:
      ValueError: the platform or the dtype is not supported, or there are more tokens than fit the chip.
    """
    batch, tokens, heads, features = query.shape
    platform = kernel_platform(query.dtype)
    form = _form(tokens, key.shape[1], heads, features, interpret=platform == "cpu")
    if _clip_bytes(form, query.dtype) > _LARGEST_CLIP_BYTES:
        raise ValueError(
            f"clips of {form.keys} tokens in {query.dtype} are too large for the implementation 'pallas' of "
            "global_attention: leave the implementation out, and one is chosen"
        )
    by_token = (x.reshape(batch, x.shape[1], heads * features) for x in (query, key, value))
    output = on_every_device(functools.partial(_attend, form), *by_token, split=(True, True, True))
    return output.reshape(query.shape)


class _Form(NamedTuple):
    """The static arguments that a program is compiled for.

    Attributes:
      queries: number of queries of a clip.
      keys: number of keys of a clip.
      heads: number of heads of the layer.
      features: channels of a head.
      group: number of heads per program.
      chunk: number of queries per program.
      interpret: whether the kernel is interpreted.
    """

    queries: int
    keys: int
    heads: int
    features: int
    group: int
    chunk: int
    interpret: bool

    @property
    def lanes(self) -> int:
        """Channels of a program."""
        return self.group * self.features

    def grid(self, clips: int) -> tuple[int, int, int]:
        """Counts programs along clips, groups of heads and chunks of queries. The last ones may have less to do."""
        return clips, pl.cdiv(self.heads, self.group), pl.cdiv(self.queries, self.chunk)


def _form(queries: int, keys: int, heads: int, features: int, *, interpret: bool) -> _Form:
    most = max(_LOGITS_BYTES // (4 * keys) // _SUBLANES * _SUBLANES, _SUBLANES)
    chunks = pl.cdiv(queries, most)
    chunk = queries if chunks == 1 else pl.cdiv(pl.cdiv(queries, chunks), _SUBLANES) * _SUBLANES
    group = min(math.lcm(features, _LANES) // features, heads)
    return _Form(queries, keys, heads, features, group, chunk, interpret)


def _clip_bytes(form: _Form, dtype: DTypeLike) -> int:
    """Counts the bytes of keys, values and their gradients, each twice as programs overlap, and of the sums."""
    channels = pl.cdiv(form.lanes, _LANES) * _LANES
    return form.keys * channels * (8 * jnp.dtype(dtype).itemsize + 2 * 4)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(form: _Form, query: Queries, key: Keys, value: Keys) -> Queries:
    queries, keys = _specs(form)
    return pl.pallas_call(
        functools.partial(_forward_kernel, form),
        grid=form.grid(len(query)),
        in_specs=(queries, keys, keys),
        out_specs=queries,
        out_shape=jax.ShapeDtypeStruct(query.shape, query.dtype),
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=CHIP_BYTES),
        interpret=form.interpret,
        name="global_attention",
    )(query, key, value)


def _attend_forward(form: _Form, query: Queries, key: Keys, value: Keys) -> tuple[Queries, tuple[Queries, Keys, Keys]]:
    return _attend(form, query, key, value), (query, key, value)


def _attend_backward(form: _Form, saved: tuple[Queries, Keys, Keys], gradient: Queries) -> tuple[Queries, Keys, Keys]:
    queries, keys = _specs(form)
    d_query, d_key, d_value = pl.pallas_call(
        functools.partial(_backward_kernel, form),
        grid=form.grid(len(gradient)),
        in_specs=(queries, keys, keys, queries),
        out_specs=(queries, keys, keys),
        out_shape=tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in saved),
        scratch_shapes=[pltpu.VMEM((form.keys, form.lanes), jnp.float32)] * 2,
        # Gradients of keys and values add up from chunk to chunk.
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary"), vmem_limit_bytes=CHIP_BYTES
        ),
        interpret=form.interpret,
        name="global_attention_gradient",
    )(*saved, gradient)
    return d_query, d_key, d_value


_attend.defvjp(_attend_forward, _attend_backward)


def _specs(form: _Form) -> tuple[pl.BlockSpec, pl.BlockSpec]:
    """Makes the block specs of queries and of keys."""
    queries = pl.BlockSpec((1, form.chunk, form.lanes), lambda clip, group, chunk: (clip, chunk, group))
    keys = pl.BlockSpec((1, form.keys, form.lanes), lambda clip, group, chunk: (clip, 0, group))
    return queries, keys


def _for_each_head(form: _Form, work: Callable[[slice], None]) -> None:
    """Calls a function with the channels of each head of this program."""
    for head in range(form.group):
        part = slice(head * form.features, (head + 1) * form.features)
        exists = pl.program_id(1) * form.group + head < form.heads
        pl.when(exists)(functools.partial(work, part))


def _exponentials(query: Array, key: Array) -> tuple[Array, Array]:
    """Computes the attention weights except for a factor, and the inverse of their sums."""
    logits = dot(query, key, (1, 1))
    exponentials = jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True))
    return exponentials, 1 / jnp.sum(exponentials, axis=1, keepdims=True)


def _scaled(query: Array, form: _Form) -> Array:
    return (query.astype(jnp.float32) * form.features**-0.5).astype(query.dtype)


def _forward_kernel(form: _Form, query_ref: Any, key_ref: Any, value_ref: Any, out_ref: Any) -> None:
    def attend(part: slice) -> None:
        value = value_ref[0, :, part]
        exponentials, factor = _exponentials(_scaled(query_ref[0, :, part], form), key_ref[0, :, part])
        out_ref[0, :, part] = (dot(exponentials.astype(value.dtype), value) * factor).astype(value.dtype)

    _for_each_head(form, attend)


def _backward_kernel(
    form: _Form,
    query_ref: Any,
    key_ref: Any,
    value_ref: Any,
    gradient_ref: Any,
    d_query_ref: Any,
    d_key_ref: Any,
    d_value_ref: Any,
    key_sum: Any,
    value_sum: Any,
) -> None:
    dtype = query_ref.dtype
    chunk = pl.program_id(2)

    @pl.when(chunk == 0)
    def _start() -> None:
        key_sum[...] = jnp.zeros_like(key_sum)
        value_sum[...] = jnp.zeros_like(value_sum)

    def existing(rows: Array) -> Array:
        """Replaces rows behind the last query by zeros."""
        if form.queries % form.chunk == 0:
            return rows
        place = chunk * form.chunk + lax.broadcasted_iota(jnp.int32, rows.shape, 0)
        return jnp.where(place < form.queries, rows, jnp.zeros_like(rows))

    def add_gradients(part: slice) -> None:
        key, value = key_ref[0, :, part], value_ref[0, :, part]
        query = _scaled(existing(query_ref[0, :, part]), form)
        exponentials, factor = _exponentials(query, key)
        # The weights are `exponentials * factor`: where the gradient has the factor, they need not.
        gradient = (existing(gradient_ref[0, :, part]).astype(jnp.float32) * factor).astype(dtype)
        d_weights = dot(gradient, value, (1, 1))
        mean = jnp.sum(exponentials * d_weights, axis=1, keepdims=True) * factor
        d_logits = (exponentials * (d_weights - mean)).astype(dtype)
        d_query_ref[0, :, part] = (dot(d_logits, key) * form.features**-0.5).astype(dtype)
        key_sum[:, part] += dot(d_logits, query, (0, 0))
        value_sum[:, part] += dot(exponentials.astype(dtype), gradient, (0, 0))

    _for_each_head(form, add_gradients)

    @pl.when(chunk == pl.num_programs(2) - 1)
    def _finish() -> None:
        d_key_ref[0] = key_sum[...].astype(dtype)
        d_value_ref[0] = value_sum[...].astype(dtype)
