"""The rectifier that also cuts off at six."""

from jax import lax
from jaxtyping import Array, Float


def relu6(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Cuts values to the range from 0 to 6.

    The gradient is zero at both ends, as PyTorch's `ReLU6` has it; that of `jax.nn.relu6` is one half there.

    Args:
      x: features.

    Returns:
      Features of the same shape and dtype.
    """
    return lax.clamp(lax.full((), 0, x.dtype), x, lax.full((), 6, x.dtype))
