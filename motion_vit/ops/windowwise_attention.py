"""Window attention of one head of one window at a time, for CPUs: the weights of a window stay in the cache.

The gradient is written by hand, as in FlashAttention-2 (arXiv 2307.08691, algorithm 2): it recomputes the weights from
the logarithm of their sums. As in `motion_vit.ops.chunked_attention`, weights are queries by keys in the forward pass,
and keys by queries in the backward pass, where so one product reads a transposed array instead of two.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from motion_vit.ops.clip_windows import APART, ClipWindows, window_regions
from motion_vit.ops.kept_activations import ATTENTION_OUTPUT
from motion_vit.ops.precision import accumulation_dtype

Tokens = Float[Array, "b windows n heads d"]
Bias = Float[Array, "heads n n"]
Residuals = tuple[Tokens, Tokens, Tokens, Bias, Tokens, Float[Array, "b windows n heads 1"]]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def windowwise_attention(windows: ClipWindows, query: Tokens, key: Tokens, value: Tokens, bias: Bias) -> Tokens:
    """Computes softmax attention with scale `d ** -0.5` in every window.

    Args:
      windows: how the clip was cut.
      query: not yet scaled.
      key: of the same shape.
      value: of the same shape.
      bias: of every query and key.

    Returns:
      Output of the shape and dtype of `query`. Logits, weights and sums are float32 or better.
    """
    return _forward(windows, query, key, value, bias)[0]


def _forward(windows: ClipWindows, query: Tokens, key: Tokens, value: Tokens, bias: Bias) -> tuple[Tokens, Residuals]:
    dtype = accumulation_dtype(query.dtype)
    regions = _regions(windows, query.shape[0])

    def one_head(head: tuple[Array, ...]) -> tuple[Array, Array]:
        *of_windows, bias = head

        def one_window(window: list[Array]) -> tuple[Array, Array]:
            queries, keys, values, *region = window
            logits = _product(queries, keys.T, dtype) + bias + _apart(region, dtype)
            largest = logits.max(axis=1, keepdims=True)
            weights = jnp.exp(logits - largest)
            sums = weights.sum(axis=1, keepdims=True)
            output = _product(weights.astype(values.dtype), values, dtype) / sums
            return output.astype(values.dtype), largest + jnp.log(sums)

        return lax.map(one_window, [*of_windows, *regions])

    output, log_sums = lax.map(one_head, (*map(_by_head, (_scaled(query), key, value)), bias.astype(dtype)))
    # Named, so that rematerialisation can keep what the backward pass would need the whole forward pass for.
    output = checkpoint_name(_out_of_heads(output, query), ATTENTION_OUTPUT)
    log_sums = checkpoint_name(_out_of_heads(log_sums, query), ATTENTION_OUTPUT)
    return output, (query, key, value, bias, output, log_sums)


def _backward(windows: ClipWindows, residuals: Residuals, gradient: Tokens) -> tuple[Tokens, Tokens, Tokens, Bias]:
    query, key, value, bias, output, log_sums = residuals
    dtype = accumulation_dtype(query.dtype)
    regions = _regions(windows, query.shape[0])
    # What the normalisation takes from the gradient of every logit of a query.
    mean_gradient = (gradient.astype(dtype) * output.astype(dtype)).sum(axis=-1, keepdims=True)

    def one_head(head: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array, Array]]:
        *of_windows, bias = head

        def add_window(total: Array, window: list[Array]) -> tuple[Array, tuple[Array, Array, Array]]:
            queries, keys, values, gradients, log_sums, mean_gradients, *region = window
            logits = _product(keys, queries.T, dtype) + bias + _apart(region, dtype)
            weight_gradients = _product(values, gradients.T, dtype)
            # Else XLA takes the exponentials into the products that read them, and computes them twice.
            weights = lax.optimization_barrier(jnp.exp(logits - log_sums.T))
            logit_gradients = weights * (weight_gradients - mean_gradients.T)
            narrow = logit_gradients.astype(keys.dtype)
            return total + logit_gradients, (
                _product(narrow.T, keys, dtype),
                _product(narrow, queries, dtype),
                _product(weights.astype(values.dtype), gradients, dtype),
            )

        return lax.scan(add_window, jnp.zeros_like(bias), [*of_windows, *regions])

    by_head = map(_by_head, (_scaled(query), key, value, gradient, log_sums, mean_gradient))
    keys_first = jnp.swapaxes(bias, 1, 2).astype(dtype)
    bias_gradient, gradients = lax.map(one_head, (*by_head, keys_first))
    query_gradient, key_gradient, value_gradient = (_out_of_heads(x, query) for x in gradients)
    return (
        _scaled(query_gradient).astype(query.dtype),
        key_gradient.astype(key.dtype),
        value_gradient.astype(value.dtype),
        jnp.swapaxes(bias_gradient, 1, 2).astype(bias.dtype),
    )


windowwise_attention.defvjp(_forward, _backward)


def _product(left: Array, right: Array, dtype: jnp.dtype) -> Array:
    return jnp.matmul(left, right, preferred_element_type=dtype)


def _scaled(query: Tokens) -> Tokens:
    return query * query.shape[-1] ** -0.5


def _regions(windows: ClipWindows, batch: int) -> list[Int[Array, "b_windows n"]]:
    """Returns the regions of the windows of all clips, or nothing where windows are not shifted."""
    if not any(windows.shift):
        return []
    regions = jnp.asarray(window_regions(windows))
    return [jnp.broadcast_to(regions[None], (batch, *regions.shape)).reshape(batch * windows.count, windows.tokens)]


def _apart(region: list[Int[Array, " n"]], dtype: jnp.dtype) -> Array:
    """Makes what is added to logits, the same for queries by keys and for keys by queries."""
    if not region:
        return jnp.zeros((1, 1), dtype)
    return jnp.where(region[0][:, None] != region[0][None, :], jnp.asarray(APART, dtype), jnp.zeros((), dtype))


def _by_head(x: Float[Array, "b windows n heads d2"]) -> Float[Array, "heads b_windows n d2"]:
    batch, count, tokens, heads, channels = x.shape
    return x.transpose(3, 0, 1, 2, 4).reshape(heads, batch * count, tokens, channels)


def _out_of_heads(x: Float[Array, "heads b_windows n d2"], like: Tokens) -> Float[Array, "b windows n heads d2"]:
    batch, count, tokens, heads = like.shape[:4]
    return x.reshape(heads, batch, count, tokens, x.shape[3]).transpose(1, 2, 3, 0, 4)
