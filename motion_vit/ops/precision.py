"""The dtype of sums and softmaxes."""

import jax.numpy as jnp


def accumulation_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """Returns float64 for float64 input, else float32: narrow types lose precision in long sums."""
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)
