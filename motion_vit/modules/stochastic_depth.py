"""Stochastic depth: skips residual branches at random in training."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float


class StochasticDepth(nn.Module):
    """Drops a residual branch, whole, for some examples of a batch (arXiv 1603.09382; timm's `DropPath`).

    Branches that are kept are divided by the probability of keeping, so that the mean stays. The rate is an argument of
    the call, because blocks that are compiled once, as a loop, have different rates.
    """

    @nn.compact
    def __call__(
        self, branch: Float[Array, "b *rest"], rate: float | Float[Array, ""], *, train: bool = False
    ) -> Float[Array, "b *rest"]:
        """Drops the branch of each example with probability `rate` when `train`; draws from the RNG `dropout`.

        Args:
          branch: output of the residual branch.
          rate: probability of dropping, below 1: a number, or a scalar known at run time. The number 0 draws nothing.
          train: whether to drop.

        Returns:
          The branch, zero where it is dropped.
        """
        if not train or (isinstance(rate, float) and rate == 0):
            return branch
        keep = 1 - jnp.asarray(rate, jnp.float32)
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, (branch.shape[0],) + (1,) * (branch.ndim - 1))
        return jnp.where(kept, branch / keep.astype(branch.dtype), jnp.zeros((), branch.dtype))
