"""The dtype in which sums and softmaxes are taken."""

import jax.numpy as jnp


def accumulation_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """float64 for float64 input, else float32: narrow types lose what long sums need."""
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)
