"""Global attention in chunks of queries, for CPUs: the weights of a chunk stay in the cache.

In the forward pass weights are queries by keys: XLA then computes logits, their maxima and the exponentials in one
fused operation, in rows. In the backward pass they are keys by queries: one product there reads a transposed array
instead of two. The gradient is written by hand, as in FlashAttention-2 (arXiv 2307.08691, algorithm 2): it recomputes
the weights from the logarithm of their sums, without another maximum and sum.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from motion_vit.ops.kept_activations import ATTENTION_OUTPUT
from motion_vit.ops.precision import accumulation_dtype

_CHUNK_QUERIES = 196
"""Queries a chunk: their weights over 3136 keys fit the second-level cache of one core."""

Tokens = Float[Array, "b n heads d"]
Chunks = Float[Array, "b_heads chunks q d"]
Keys = Float[Array, "b m heads d"]
Values = Float[Array, "b m heads e"]
Output = Float[Array, "b n heads e"]
Residuals = tuple[Tokens, Keys, Values, Output, Float[Array, "b n heads 1"]]


@jax.custom_vjp
def chunked_attention(query: Tokens, key: Keys, value: Values) -> Output:
    """Computes softmax attention with scale `d ** -0.5`, one head of one clip and some queries at a time.

    Args:
      query: not yet scaled.
      key: of the tokens attended to.
      value: of the tokens attended to.

    Returns:
      Output in the dtype of `query`, with the channels of `value`. Logits, weights and sums are float32 or better.
    """
    return _forward(query, key, value)[0]


def _forward(query: Tokens, key: Keys, value: Values) -> tuple[Output, Residuals]:
    dtype = accumulation_dtype(query.dtype)

    def one_head(head: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        queries, keys, values = head

        def one_chunk(queries: Array) -> tuple[Array, Array]:
            logits = _product(queries, keys.T, dtype)
            largest = logits.max(axis=1, keepdims=True)
            weights = jnp.exp(logits - largest)
            sums = weights.sum(axis=1, keepdims=True)
            output = _product(weights.astype(values.dtype), values, dtype) / sums
            return output.astype(values.dtype), largest + jnp.log(sums)

        return lax.map(one_chunk, queries)

    output, log_sums = lax.map(one_head, (_in_chunks(_scaled(query)), _by_head(key), _by_head(value)))
    # Named, so that rematerialisation can keep what the backward pass would need the whole forward pass for.
    output = checkpoint_name(_out_of_chunks(output, query), ATTENTION_OUTPUT)
    log_sums = checkpoint_name(_out_of_chunks(log_sums, query), ATTENTION_OUTPUT)
    return output, (query, key, value, output, log_sums)


def _backward(residuals: Residuals, gradient: Output) -> tuple[Tokens, Keys, Values]:
    query, key, value, output, log_sums = residuals
    dtype = accumulation_dtype(query.dtype)
    # What the normalisation takes from the gradient of every logit of a query.
    mean_gradient = (gradient.astype(dtype) * output.astype(dtype)).sum(axis=-1, keepdims=True)

    def one_head(head: tuple[Array, ...]) -> tuple[Array, Array, Array]:
        keys, values, *of_queries = head

        def add_chunk(totals: tuple[Array, Array], chunk: list[Array]) -> tuple[tuple[Array, Array], Array]:
            queries, gradients, log_sums, mean_gradients = chunk
            logits = _product(keys, queries.T, dtype)
            weight_gradients = _product(values, gradients.T, dtype)
            # Else XLA takes the exponentials into the products that read them, and computes them twice.
            weights = lax.optimization_barrier(jnp.exp(logits - log_sums.T))
            logit_gradients = (weights * (weight_gradients - mean_gradients.T)).astype(keys.dtype)
            key_gradient = totals[0] + _product(logit_gradients, queries, dtype)
            value_gradient = totals[1] + _product(weights.astype(values.dtype), gradients, dtype)
            return (key_gradient, value_gradient), _product(logit_gradients.T, keys, dtype)

        start = jnp.zeros(keys.shape, dtype), jnp.zeros(values.shape, dtype)
        totals, query_gradient = lax.scan(add_chunk, start, of_queries)
        return query_gradient, *totals

    of_queries = (_scaled(query), gradient, log_sums, mean_gradient)
    by_head = (_by_head(key), _by_head(value), *map(_in_chunks, of_queries))
    query_gradient, key_gradient, value_gradient = lax.map(one_head, by_head)
    query_gradient = _scaled(_out_of_chunks(query_gradient, query))
    key_gradient, value_gradient = (_out_of_heads(x, key) for x in (key_gradient, value_gradient))
    return query_gradient.astype(query.dtype), key_gradient.astype(key.dtype), value_gradient.astype(value.dtype)


chunked_attention.defvjp(_forward, _backward)


def _product(left: Array, right: Array, dtype: jnp.dtype) -> Array:
    return jnp.matmul(left, right, preferred_element_type=dtype)


def _scaled(query: Tokens) -> Tokens:
    return query * query.shape[-1] ** -0.5


def _by_head(x: Tokens) -> Float[Array, "b_heads n d"]:
    return jnp.swapaxes(x, 1, 2).reshape(-1, x.shape[1], x.shape[3])


def _out_of_heads(x: Float[Array, "b_heads n d2"], like: Tokens) -> Float[Array, "b n heads d2"]:
    batch, tokens, heads = like.shape[:3]
    return jnp.swapaxes(x.reshape(batch, heads, tokens, x.shape[2]), 1, 2)


def _in_chunks(x: Tokens) -> Chunks:
    """Cuts tokens into whole chunks. Zeros that fill the last one have zero gradient."""
    tokens, channels = x.shape[1], x.shape[3]
    filled = jnp.pad(_by_head(x), [(0, 0), (0, -tokens % _CHUNK_QUERIES), (0, 0)])
    return filled.reshape(-1, filled.shape[1] // _CHUNK_QUERIES, _CHUNK_QUERIES, channels)


def _out_of_chunks(x: Float[Array, "b_heads chunks q d2"], like: Tokens) -> Float[Array, "b n heads d2"]:
    by_head = x.reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3])
    return _out_of_heads(by_head[:, : like.shape[1]], like)
