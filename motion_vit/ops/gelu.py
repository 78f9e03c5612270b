"""GELU, `x * Phi(x)` with the normal distribution's `Phi`: exact, and by its approximation with tanh."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from motion_vit.ops.platform import likely_platform
from motion_vit.ops.precision import accumulation_dtype

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

_TANH_SCALE = 2 * (2 / math.pi) ** 0.5
_TANH_CUBE = 0.044715


@jax.custom_vjp
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Applies GELU to every element, in float32 or better.

    It uses erf, as PyTorch does: the erfc of `jax.nn.gelu` takes XLA several passes over the array on CPU. The gradient
    is written by hand, so that only `x` is kept for it.
    """
    wide = x.astype(accumulation_dtype(x.dtype))
    return (wide * _normal_distribution(wide)).astype(x.dtype)


def _gelu_forward(x: Array) -> tuple[Array, Array]:
    return gelu(x), x


def _gelu_backward(x: Array, gradient: Array) -> tuple[Array]:
    wide = x.astype(accumulation_dtype(x.dtype))
    density = jnp.exp(-0.5 * wide * wide) * (2 * jnp.pi) ** -0.5
    return ((gradient.astype(wide.dtype) * (_normal_distribution(wide) + wide * density)).astype(x.dtype),)


gelu.defvjp(_gelu_forward, _gelu_backward)


@jax.custom_vjp
def tanh_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Applies the approximation of GELU by tanh (arXiv 1606.08415, section 2) to every element, in float32 or better.

    It differs from the exact one by 5e-4 at most. Networks that were trained with it, as those in Flax by default, need
    it. As in `gelu`, only `x` is kept for the gradient.
    """
    wide = x.astype(accumulation_dtype(x.dtype))
    # (1 + tanh(u)) / 2 is the logistic function of 2 u, which keeps its digits where it is close to 0.
    return (wide * lax.logistic(_twice_the_bend(wide))).astype(x.dtype)


def _tanh_gelu_forward(x: Array) -> tuple[Array, Array]:
    return tanh_gelu(x), x


def _tanh_gelu_backward(x: Array, gradient: Array) -> tuple[Array]:
    wide = x.astype(accumulation_dtype(x.dtype))
    argument = _twice_the_bend(wide)
    share = lax.logistic(argument)
    slope = share * lax.logistic(-argument) * _TANH_SCALE * (1 + 3 * _TANH_CUBE * wide * wide)
    return ((gradient.astype(wide.dtype) * (share + wide * slope)).astype(x.dtype),)


tanh_gelu.defvjp(_tanh_gelu_forward, _tanh_gelu_backward)


def _twice_the_bend(x: Array) -> Array:
    return _TANH_SCALE * (x + _TANH_CUBE * x * x * x)


def _normal_distribution(x: Array) -> Array:
    # LiteRT has no error function, and what becomes of XLA's there holds selections between constants of the shape of
    # `x`, which fill the file. In a program for any platform XLA's is a composite operation, which TensorFlow cannot
    # read.
    erf = _erf if likely_platform() in ("any", "litert") else lax.erf
    return (1 + erf(x * 0.5**0.5)) * 0.5


def _erf(x: Array) -> Array:
    x = jnp.minimum(jnp.maximum(x, -_ERF_IS_ONE), _ERF_IS_ONE)
    return x * _polynomial(_NUMERATOR, x * x) / _polynomial(_DENOMINATOR, x * x)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    total = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * x + coefficient
    return total
