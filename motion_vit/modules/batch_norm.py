"""Batch normalisation with PyTorch's running statistics."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float


class BatchNorm(nn.Module):
    """Normalises each channel over the batch and all positions.

    Differs from `flax.linen.BatchNorm` in one thing: the running variance takes the unbiased estimate, as PyTorch's
    does, so that a training step leaves the same statistics behind. Under `jax.jit` with a batch sharded over devices
    the statistics are those of the global batch, because the compiler inserts the reduction.

    Attributes:
      momentum: share of the old running statistics that a step keeps (PyTorch's `1 - momentum`).
      epsilon: added to the variance.
      dtype: dtype of the output; statistics are float32.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"], *, train: bool) -> Float[Array, "b *space c"]:
        """Normalises `x`, with the statistics of `x` when `train` and with the running ones otherwise.

        The running statistics live in the collection `batch_stats` (`mean`, `var`), which must be mutable when `train`.
        """
        channels = x.shape[-1]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), jnp.float32)
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        if train:
            axes = tuple(range(x.ndim - 1))
            count = x.size // channels
            values = x.astype(jnp.float32)
            mean = jnp.mean(values, axes)
            var = jnp.mean(lax.square(values - _per_channel(mean, x.ndim)), axes)
            if not self.is_initializing():
                unbiased = var * (count / max(count - 1, 1))
                running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
                running_var.value = self.momentum * running_var.value + (1 - self.momentum) * unbiased
        else:
            mean, var = running_mean.value, running_var.value
        factor = scale * lax.rsqrt(var + self.epsilon)
        shift = bias - mean * factor
        return (x.astype(jnp.float32) * _per_channel(factor, x.ndim) + _per_channel(shift, x.ndim)).astype(self.dtype)


def _per_channel(values: Float[Array, " c"], ndim: int) -> Float[Array, "*ones c"]:
    return values.reshape((1,) * (ndim - 1) + (-1,))
