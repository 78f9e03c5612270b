"""The Hilbert-Schmidt independence criterion (HSIC) of two features of the same examples.

Sources: Gretton et al., "Measuring statistical dependence with Hilbert-Schmidt norms" (ALT 2005), for the biased
estimator; Song et al., "Feature selection via dependence maximization" (JMLR 2012), equation 5, for the unbiased one.
The kernels are those of DEAR (arXiv 2107.10161), `DebiasHead.hsic_loss` of github.com/Cogito2012/DEAR.
"""

from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

HsicEstimator = Literal["unbiased", "biased"]
"""How the criterion is estimated from a batch. Only the first is 0 on average where features are independent."""

SMALLEST_BATCH: Mapping[HsicEstimator, int] = {"unbiased": 4, "biased": 2}
"""The fewest examples that an estimator is defined for."""


def hsic(
    first: Float[Array, "b c"],
    second: Float[Array, "b c2"],
    weights: Float[Array, " b"],
    estimator: HsicEstimator = "unbiased",
) -> Float[Array, ""]:
    """Estimates how much two features of the same examples depend on each other.

    The kernel of two examples `x`, `y` of `c` channels is `exp(-|x - y|^2 / (2 c))`. Of `n` examples these are the
    matrices `K` and `L`, with zero diagonals `K0` and `L0`, and `H` subtracts means:

        biased:    tr(K H L H) / (n - 1)^2
        unbiased:  (tr(K0 L0) + sum K0 sum L0 / ((n - 1) (n - 2)) - 2 / (n - 2) 1' K0 L0 1) / (n (n - 3))

    Both are computed as a sum of products of centred kernels. For the second, sums and the total are divided by `n - 2`
    and `(n - 1) (n - 2)` instead of `n` and `n^2` (U-centring; Székely and Rizzo 2014, arXiv 1310.2926), which gives
    the same number with fewer roundings.

    Args:
      first: a row an example, in float32.
      second: likewise.
      weights: 1 for examples that count, 0 for others.
      estimator: which of the two.

    Returns:
      The estimate: "biased" from 0 on, "unbiased" of either sign. 0 where fewer than `SMALLEST_BATCH` examples count.
    """
    found = jnp.sum(weights)
    # Whatever is returned where too few count, no part of it may be infinite.
    count = jnp.maximum(found, float(SMALLEST_BATCH[estimator]))
    pairs = weights[:, None] * weights[None, :]
    if estimator == "biased":
        of_sums, of_total, entries = count, jnp.square(count), jnp.square(count - 1)
    else:
        pairs *= 1 - jnp.eye(len(weights), dtype=pairs.dtype)
        of_sums, of_total, entries = count - 2, (count - 1) * (count - 2), count * (count - 3)

    def centred(values: Float[Array, "b c"]) -> Float[Array, "b b"]:
        kernel = pairs * _kernel_less_one(values, weights, count)
        sums = jnp.sum(kernel, axis=0)
        return pairs * (kernel - (sums[:, None] + sums[None, :]) / of_sums + jnp.sum(sums) / of_total)

    # A kernel is symmetric, so that the trace is the sum of products.
    estimate = jnp.sum(centred(first) * centred(second)) / entries
    return jnp.where(found >= SMALLEST_BATCH[estimator], estimate, 0.0)


def _kernel_less_one(
    values: Float[Array, "b c"], weights: Float[Array, " b"], count: Float[Array, ""]
) -> Float[Array, "b b"]:
    """Computes the kernels of all pairs less 1, which changes neither estimator.

    Features that are similar have kernels near 1, of which the estimates are small differences: less 1 they keep their
    digits. For the same reason products are taken of what deviates from the mean.
    """
    mean = jnp.sum(values * weights[:, None], axis=0, keepdims=True) / count
    centred = values - mean
    products = jnp.matmul(centred, centred.T, precision=lax.Precision.HIGHEST)
    squares = jnp.diagonal(products)
    distances = jax.nn.relu(squares[:, None] + squares[None, :] - 2 * products)
    return jnp.expm1(-distances / (2 * values.shape[1]))
