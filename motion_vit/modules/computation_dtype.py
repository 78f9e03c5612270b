"""The dtypes that layers, and so models, compute in."""

import contextlib
from typing import Any

import jax.numpy as jnp

COMPUTATION_DTYPES = ("float32", "bfloat16", "float16")
"""The names of the dtypes. Statistics and parameters are float32, so that float64 would be no more precise."""


def computation_dtype(dtype: Any) -> jnp.dtype:
    """Checks the dtype of a layer: as integers, weights would become 0, and as booleans 1.

    Args:
      dtype: a dtype or its name.

    Returns:
      The dtype, one of `COMPUTATION_DTYPES`.

    Raises:
      ValueError: another dtype, or no dtype at all.
    """
    # NumPy takes None for float64, and raises what reading a text or a list of fields as a dtype led to.
    with contextlib.suppress(TypeError, ValueError, SyntaxError):
        if dtype is not None and (found := jnp.dtype(dtype)) in map(jnp.dtype, COMPUTATION_DTYPES):
            return found
    raise ValueError(f"dtype is {dtype!r}, but must be one of {', '.join(COMPUTATION_DTYPES)}")
