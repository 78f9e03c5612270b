"""The exact GELU, `x * Phi(x)` with the normal distribution's `Phi`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motion_vit.ops.platform import current_platform

# Eigen's and XLA's approximation of erf in float32, `x * P(x * x) / Q(x * x)`, within 4e-7.
_NUMERATOR = (2.2905065861e-04, 3.4082910107e-03, 5.0955695062e-02, 1.8520832240e-01, 1.1283791435)
_DENOMINATOR = (
    -1.1791602954e-07,
    2.3547966471e-05,
    1.0179625279e-03,
    1.4070470171e-02,
    1.1098505178e-01,
    4.9746925110e-01,
    1.0,
)
_ERF_IS_ONE = 3.7439211627767994
"""From here on erf is 1 in float32."""


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Applies GELU to every element.

    LiteRT has no error function, and what becomes of JAX's own there holds selections between constants of the shape of
    `x`, which fill the file. For it the function is written out in sums and products.
    """
    if current_platform() != "litert":
        return jax.nn.gelu(x, approximate=False)
    return x * (1 + _erf(x * 0.5**0.5)) * 0.5


def _erf(x: Array) -> Array:
    x = jnp.minimum(jnp.maximum(x, -_ERF_IS_ONE), _ERF_IS_ONE)
    return x * _polynomial(_NUMERATOR, x * x) / _polynomial(_DENOMINATOR, x * x)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    total = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * x + coefficient
    return total
