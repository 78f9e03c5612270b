"""Self-attention among all tokens of a clip.

The models here have few heads (one per 64 channels) and long sequences (3136 tokens for 16 frames of 14 x 14), so that
memory depends on the attention weights, not on the projections.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from motion_vit.ops.chunked_attention import chunked_attention
from motion_vit.ops.on_every_device import on_every_device
from motion_vit.ops.platform import apply_by_platform
from motion_vit.ops.precision import accumulation_dtype

IMPLEMENTATIONS = ("xla", "cudnn", "chunked", "clipwise", "stacked", "pallas")
"""The names that `implementation` accepts."""

_CHUNK_FROM_WEIGHTS = 1 << 19
"""Below this many attention weights a head, chunks cost more than they save."""

_CLIPWISE_QUERIES = 448
"""Queries a chunk at most where all heads go together: the weights of 5 heads then fit the fast memory of a TPU."""

_CLIPWISE_FROM_WEIGHTS = 1 << 18
"""Below this many attention weights a head, one clip at a time leaves a TPU idle."""

Queries = Float[Array, "b n heads d"]
Keys = Float[Array, "b m heads d"]
Values = Float[Array, "b m heads e"]
Output = Float[Array, "b n heads e"]


def global_attention(query: Queries, key: Keys, value: Values, *, implementation: str | None = None) -> Output:
    """Computes softmax attention with scale `d ** -0.5`; the softmax is in float32.

    Args:
      query: not yet scaled.
      key: of the tokens attended to.
      value: of the tokens attended to; of other channels than the keys where those hold more than the features.
      implementation: None chooses by platform, dtype and length, without "pallas". "xla" and "cudnn" are those of
        `jax.nn.dot_product_attention` (cudnn: float16 or bfloat16 on NVIDIA GPUs). "chunked" works on one head and some
        queries at a time and recomputes the weights in the backward pass, so that the weights of a long clip are never
        held at once. "clipwise" does so, too, but with all heads of a clip at a time (TPU). With these two, each device
        of the current mesh computes its own clips. "stacked" multiplies stacks of matrices whose last two axes are rows
        and columns, so that neither CPUs nor runtimes of other formats transpose the weights. "pallas" is one kernel
        for TPU that keeps the weights on the chip. It was compiled for TPUs and interpreted on CPU, but has not run on
        a TPU yet.

    Returns:
      Output in the dtype of `query`, with the channels of `value`.

    Raises:
      ValueError: shapes do not agree, or the implementation is unknown or does not support the arguments.
    """
    if (
        query.ndim != 4
        or value.ndim != 4
        or key.shape[:3] != value.shape[:3]
        or query.shape[::2] != key.shape[::2]
        or query.shape[3] != key.shape[3]
    ):
        raise ValueError(
            "expected query, key and value [batch, tokens, heads, channels], "
            f"got {query.shape}, {key.shape} and {value.shape}"
        )
    if implementation is None:
        return apply_by_platform(functools.partial(_choose, query, key), _attend, query, key, value)
    return _attend(implementation, query, key, value)


def _attend(implementation: str, query: Queries, key: Keys, value: Values) -> Output:
    if implementation in ("xla", "cudnn", "pallas") and value.shape[3] != key.shape[3]:
        return _attend_with_equal_channels(implementation, query, key, value)
    if implementation in ("chunked", "clipwise"):
        # Of their loops over clips, every device would do all.
        attend = chunked_attention if implementation == "chunked" else _clipwise
        return on_every_device(attend, query, key, value, split=(True, True, True))
    if implementation == "stacked":
        return _stacked(query, key, value)
    if implementation == "pallas":
        # Imported where it is chosen: nobody else needs Pallas.
        from motion_vit.ops.global_attention_kernel import global_attention_kernel

        return global_attention_kernel(query, key, value)
    if implementation in ("xla", "cudnn"):
        # JAX's own function relies on implicit promotion, which a program may have switched off.
        with jax.numpy_dtype_promotion("standard"):
            kernel: Literal["xla", "cudnn"] = "cudnn" if implementation == "cudnn" else "xla"
            return jax.nn.dot_product_attention(query, key, value, implementation=kernel)
    raise ValueError(
        f"unknown implementation {implementation!r} of global_attention: choose from {', '.join(IMPLEMENTATIONS)}"
    )


def _attend_with_equal_channels(implementation: str, query: Queries, key: Keys, value: Values) -> Output:
    """Fills up values with zeros to the channels of the keys, or these to those, for kernels that take no others."""
    channels = max(key.shape[3], value.shape[3])

    def filled(x: Array) -> Array:
        return jnp.pad(x, [(0, 0), (0, 0), (0, 0), (0, channels - x.shape[3])])

    # These scale by the channels that they see.
    query = query * (channels / query.shape[3]) ** 0.5
    output = _attend(implementation, filled(query), filled(key), filled(value))
    return lax.slice_in_dim(output, 0, value.shape[3], axis=3)


def attention_weights(query: Queries, key: Keys) -> Float[Array, "b heads n m"]:
    """Computes the weights of `global_attention`, in float32, for inspection; quadratic in memory."""
    dtype = accumulation_dtype(query.dtype)
    logits = jnp.einsum("bqhd,bkhd->bhqk", query * query.shape[-1] ** -0.5, key, preferred_element_type=dtype)
    return jax.nn.softmax(logits, axis=-1)


def _choose(query: Queries, key: Keys, platform: str) -> str:
    if platform == "gpu" and _suits_cudnn(query, key):
        return "cudnn"
    if platform in ("onnx", "litert"):
        return "stacked"
    weights = query.shape[1] * key.shape[1]
    if platform == "cpu":
        # Not "xla": for its products the weights are transposed, which takes longer than they do.
        return "chunked" if weights >= _CHUNK_FROM_WEIGHTS else "stacked"
    if platform == "tpu" and weights >= _CLIPWISE_FROM_WEIGHTS:
        return "clipwise"
    return "xla"


def _suits_cudnn(query: Queries, key: Keys) -> bool:
    """Tells if cuDNN's attention takes such arrays on every GPU that has it, forwards and backwards.

    JAX refuses others when a program is lowered, such as the 197 tokens of a frame and its class token.
    """
    channels = query.shape[3]
    is_even = query.shape[1] % 2 == 0 and key.shape[1] % 2 == 0
    return query.dtype in (jnp.bfloat16, jnp.float16) and is_even and channels % 8 == 0 and channels <= 128


def _stacked(query: Queries, key: Keys, value: Values) -> Output:
    dtype = accumulation_dtype(query.dtype)
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (query * query.shape[-1] ** -0.5, key, value))
    logits = jnp.matmul(query, jnp.swapaxes(key, 2, 3), preferred_element_type=dtype)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    return jnp.swapaxes(jnp.matmul(weights, value, preferred_element_type=dtype), 1, 2).astype(query.dtype)


def _clipwise(query: Queries, key: Keys, value: Values) -> Output:
    tokens, channels = query.shape[1], query.shape[3]
    chunks = -(-tokens // _CLIPWISE_QUERIES)
    chunk_queries = -(-tokens // chunks)

    @jax.checkpoint
    def one_chunk(query: Array, key: Array, value: Array) -> Array:
        dtype = accumulation_dtype(query.dtype)
        logits = jnp.einsum("qhd,khd->hqk", query * channels**-0.5, key, preferred_element_type=dtype)
        weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
        return jnp.einsum("hqk,khd->qhd", weights, value)

    def one_clip(clip: tuple[Array, Array, Array]) -> Array:
        query, key, value = clip
        padded = jnp.pad(query, [(0, chunks * chunk_queries - tokens), (0, 0), (0, 0)])
        by_chunk = padded.reshape(chunks, chunk_queries, *query.shape[1:])
        output = lax.map(lambda chunk: one_chunk(chunk, key, value), by_chunk)
        return output.reshape(-1, *output.shape[2:])[:tokens]

    return lax.map(one_clip, (query, key, value))
