"""Small stored forms of weights. The computation stays in float32, or the model's dtype.

`compress` and `expand` are inverse up to rounding. `bfloat16` and `float16` round parameters to the nearest number of
that type. `int8-weights` rounds kernels to 255 levels, equally spaced for each output channel. Running statistics are
not rounded: they are few, and a variance must not be rounded to 0.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Float, Int8

from motion_vit.errors import UserError
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype

SCALE_SUFFIX = ":scale"
"""What the path of a kernel's scales ends in, after the path of the kernel."""

_LARGEST_INT8 = 127
_SHOWN_NAMES = 5


def compress(variables: Mapping[str, Any], dtype: WeightDtype) -> dict[str, np.ndarray]:
    """Converts variables to their stored form.

    Args:
      variables: `params` and `batch_stats`, nested, in float32.
      dtype: stored form. "int8-weights" rounds kernels of two axes or more, and leaves biases, scales of normalisations
        and displacement biases in float32.

    Returns:
      "/"-joined path, which begins with the collection -> array. A kernel in int8 comes with the float32 scales of its
      output channels, its last axis, under the same path and ":scale".

    Raises:
      UserError: weights are not finite, or do not fit the range of float16.
    """
    flat = {path: np.asarray(leaf) for path, leaf in _flatten(variables).items()}
    check_finite(flat, "the model")
    stored: dict[str, np.ndarray] = {}
    for path, array in flat.items():
        kept = _stored_dtype(path, array.ndim, dtype)
        if kept == np.int8:
            stored[path], stored[path + SCALE_SUFFIX] = _to_int8(array)
        else:
            with np.errstate(over="ignore"):  # told by name below
                stored[path] = array.astype(kept)
    overflown = [path for path, array in stored.items() if not np.isfinite(array).all()]
    if overflown:
        raise UserError(
            f"weights are too large for {dtype}: {_some(overflown)}. Store them as bfloat16, which has the range of "
            "float32."
        )
    return stored


def expand(stored: Mapping[str, Array | np.ndarray]) -> dict[str, Any]:
    """Recovers variables from their stored form. Works under `jax.jit`, so that a compiled program can hold the small
    form.

    Args:
      stored: returned by `compress`.

    Returns:
      `params` and `batch_stats`, nested, in float32.
    """
    flat: dict[str, Any] = {}
    for path, array in stored.items():
        if path.endswith(SCALE_SUFFIX):
            continue
        values = array.astype(jnp.float32)
        scale = stored.get(path + SCALE_SUFFIX)
        flat[path] = values if scale is None else values * scale.reshape((1,) * (values.ndim - 1) + (-1,))
    return {"params": {}, "batch_stats": {}, **traverse_util.unflatten_dict(flat, sep="/")}


def stored_shapes(variables: Mapping[str, Any], dtype: WeightDtype) -> dict[str, jax.ShapeDtypeStruct]:
    """Predicts the arrays of `compress` from shapes alone.

    Args:
      variables: variables or their shapes, nested.
      dtype: stored form.

    Returns:
      "/"-joined path -> shape and dtype.
    """
    shapes: dict[str, jax.ShapeDtypeStruct] = {}
    for path, leaf in _flatten(variables).items():
        shapes[path] = jax.ShapeDtypeStruct(leaf.shape, _stored_dtype(path, len(leaf.shape), dtype))
        if shapes[path].dtype == jnp.int8:
            shapes[path + SCALE_SUFFIX] = jax.ShapeDtypeStruct(leaf.shape[-1:], jnp.float32)
    return shapes


def check_finite(arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Checks that all weights are finite.

    Args:
      arrays: the weights by path.
      where: name of their file or model, for the message.

    Raises:
      UserError: some weights are NaN or infinite.
    """
    damaged = [path for path, array in arrays.items() if not np.isfinite(array).all()]
    if damaged:
        raise UserError(
            f"weights of {where} are NaN or infinite: {_some(damaged)}. They were damaged, or their training had "
            "diverged; take an earlier checkpoint or another copy."
        )


def _flatten(variables: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = traverse_util.flatten_dict(dict(variables), sep="/")
    return flat


def _stored_dtype(path: str, axes: int, dtype: WeightDtype) -> np.dtype:
    """Returns the stored dtype of an array."""
    if not path.startswith("params/"):
        return np.dtype(np.float32)
    if dtype == "int8-weights":
        return np.dtype(np.int8 if path.endswith("/kernel") and axes >= 2 else np.float32)
    return np.dtype(jnp.dtype(dtype))


def _to_int8(
    kernel: Float[np.ndarray, "*axes channels"],
) -> tuple[Int8[np.ndarray, "*axes channels"], Float[np.ndarray, " channels"]]:
    """Rounds to the nearest multiple of a scale that brings a channel's largest weight to 127."""
    largest = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)))
    # A channel of zeros has any scale; one of numbers so small that theirs would be 0 is rounded to zeros.
    scale = np.maximum(largest.astype(np.float32) / np.float32(_LARGEST_INT8), np.finfo(np.float32).tiny)
    levels = np.clip(np.rint(kernel / scale), -_LARGEST_INT8, _LARGEST_INT8)
    return levels.astype(np.int8), scale


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
