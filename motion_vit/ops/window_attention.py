"""Self-attention of tokens within their windows, with a bias for every displacement."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motion_vit.ops.clip_windows import APART, ClipWindows, window_regions
from motion_vit.ops.on_every_device import on_every_device
from motion_vit.ops.platform import apply_by_platform
from motion_vit.ops.precision import accumulation_dtype
from motion_vit.ops.windowwise_attention import windowwise_attention

IMPLEMENTATIONS = ("xla", "windowwise")
"""The names that `implementation` accepts."""

_WINDOWWISE_FROM_TOKENS = 96
"""Below so many tokens a window, a loop over windows costs a CPU more than it saves."""

Tokens = Float[Array, "b windows n heads d"]
Bias = Float[Array, "heads n n"]
Weights = Float[Array, "b windows heads n n"]


def window_attention(
    query: Tokens, key: Tokens, value: Tokens, bias: Bias, windows: ClipWindows, *, implementation: str | None = None
) -> Tokens:
    """Computes softmax attention with scale `d ** -0.5` in every window; the softmax is in float32.

    Args:
      query: not yet scaled.
      key: of the same shape.
      value: of the same shape.
      bias: added to the logit of query `q` and key `k`, `[heads, q, k]`.
      windows: how the clip was cut. To logits of two tokens of different regions -100 is added, as published.
      implementation: None chooses by platform and size. "xla" multiplies all windows at once and holds their
        weights. "windowwise" works on one head of one window at a time and computes the weights again in the backward
        pass: they stay in the cache of a CPU. Each device of the current mesh then computes its own clips.

    Returns:
      Output of the shape and dtype of `query`.

    Raises:
      ValueError: shapes do not agree, or the implementation is unknown.
    """
    expected = (windows.count, windows.tokens)
    if query.ndim != 5 or not query.shape == key.shape == value.shape or query.shape[1:3] != expected:
        raise ValueError(
            f"expected query, key and value [batch, {expected[0]} windows, {expected[1]} tokens, heads, channels], got "
            f"{query.shape}, {key.shape} and {value.shape}"
        )
    if bias.shape != (query.shape[3], windows.tokens, windows.tokens):
        raise ValueError(
            f"expected a bias [{query.shape[3]} heads, {windows.tokens}, {windows.tokens}], got {bias.shape}"
        )
    arrays = query, key, value, bias
    if implementation is None:
        choose = functools.partial(_choose, windows.tokens)
        return apply_by_platform(choose, _attend, *arrays, windows=windows)
    return _attend(implementation, *arrays, windows=windows)


def window_attention_weights(query: Tokens, key: Tokens, bias: Bias, windows: ClipWindows) -> Weights:
    """Computes the weights of `window_attention`, in float32, for inspection.

    Args:
      query: as there.
      key: as there.
      bias: as there.
      windows: as there.

    Returns:
      Weights `[b, windows, heads, q, k]`.
    """
    dtype = accumulation_dtype(query.dtype)
    query, key = jnp.swapaxes(query * query.shape[-1] ** -0.5, 2, 3), jnp.swapaxes(key, 2, 3)
    logits = jnp.matmul(query, jnp.swapaxes(key, 3, 4), preferred_element_type=dtype)
    logits = logits + bias.astype(dtype)[None, None]
    if any(windows.shift):
        regions = jnp.asarray(window_regions(windows))
        other = (regions[:, :, None] != regions[:, None, :])[None, :, None]
        logits = logits + jnp.where(other, jnp.asarray(APART, dtype), jnp.zeros((), dtype))
    return jax.nn.softmax(logits, axis=-1)


def _attend(implementation: str, query: Tokens, key: Tokens, value: Tokens, bias: Bias, windows: ClipWindows) -> Tokens:
    if implementation == "windowwise":
        # Of its loop over clips, every device would do all.
        attend = functools.partial(windowwise_attention, windows)
        return on_every_device(attend, query, key, value, bias, split=(True, True, True, False))
    if implementation == "xla":
        weights = window_attention_weights(query, key, bias, windows)
        product = jnp.matmul(
            weights.astype(value.dtype), jnp.swapaxes(value, 2, 3), preferred_element_type=weights.dtype
        )
        return jnp.swapaxes(product, 2, 3).astype(query.dtype)
    raise ValueError(
        f"unknown implementation {implementation!r} of window_attention: choose from {', '.join(IMPLEMENTATIONS)}"
    )


def _choose(tokens: int, platform: str) -> str:
    return "windowwise" if platform == "cpu" and tokens >= _WINDOWWISE_FROM_TOKENS else "xla"
