"""Batch normalisation with PyTorch's running statistics."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules.computation_dtype import computation_dtype


class BatchNorm(nn.Module):
    """Normalises each channel over the batch and all positions.

    Differs from `flax.linen.BatchNorm` in one point: the running variance takes the unbiased estimate, as PyTorch's
    does, so that a training step leaves the same statistics. Under `jax.jit` with a batch sharded over devices, the
    statistics are those of the global batch, because the compiler inserts the reduction.

    Attributes:
      momentum: share of the old running statistics that a step keeps (PyTorch's `1 - momentum`).
      epsilon: added to the variance.
      groups: in training, the batch is divided into this many equal parts, in order, each normalised by its own
        statistics; the running statistics take the mean over the parts. With a part for each device, this is what
        PyTorch's DistributedDataParallel computes without SyncBatchNorm, and how the paper's models were trained.
      frozen: whether the layer also normalises by the running statistics in training, and keeps them. No gradient
        reaches scale and bias, but an optimizer that decays weights would still move them: a model that freezes layers
        names them in its `frozen_patterns`, which `motion_vit.training.step.optimizer` leaves out.
      scale_init: initialiser of the scale; zeros silence a residual branch that ends here until it is trained.
      dtype: dtype of the output; statistics are float32.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    groups: int = 1
    frozen: bool = False
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"], *, train: bool = False) -> Float[Array, "b *space c"]:
        """Normalises `x`, with the statistics of `x` when `train` and with the running ones otherwise.

        The running statistics live in the collection `batch_stats` (`mean`, `var`), which must be mutable when `train`.

        Raises:
          ValueError: when `train`, a batch that `groups` does not divide.
        """
        channels = x.shape[-1]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), jnp.float32)
        scale = self.param("scale", self.scale_init, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        if self.frozen:
            scale, bias = lax.stop_gradient((scale, bias))
        if train and not self.frozen:
            if x.shape[0] % self.groups:
                raise ValueError(
                    f"BatchNorm takes statistics of {self.groups} parts of the batch, but {x.shape[0]} examples cannot "
                    "be split into so many equal ones"
                )
            values = _split_batch(x, self.groups).astype(jnp.float32)
            axes = tuple(range(1, values.ndim - 1))
            count = x.size // channels // self.groups
            if x.dtype == jnp.bfloat16:
                mean, var = _statistics_in_one_pass(values, lax.stop_gradient(running_mean.value))
            else:
                mean = jnp.mean(values, axes)
                var = jnp.mean(lax.square(values - _per_channel(mean, values.ndim)), axes)
            if not self.is_initializing():
                unbiased = var * (count / max(count - 1, 1))
                running_mean.value = self._move(running_mean.value, mean)
                running_var.value = self._move(running_var.value, unbiased)
        else:
            values = _split_batch(x, 1).astype(jnp.float32)
            mean, var = running_mean.value[None], running_var.value[None]
        factor = scale[None] * lax.rsqrt(var + self.epsilon)
        shift = bias[None] - mean * factor
        output = values * _per_channel(factor, values.ndim) + _per_channel(shift, values.ndim)
        return output.reshape(x.shape).astype(computation_dtype(self.dtype))

    def _move(self, running: Float[Array, " c"], new: Float[Array, "groups c"]) -> Float[Array, " c"]:
        return self.momentum * running + (1 - self.momentum) * jnp.mean(new, axis=0)


def _statistics_in_one_pass(
    values: Float[Array, "groups b2 *space c"], near_mean: Float[Array, " c"]
) -> tuple[Float[Array, "groups c"], Float[Array, "groups c"]]:
    """Computes mean and variance of each channel, which a compiler can fuse with the computation of the values.

    The variance is the mean square less the square of the mean, after subtracting an estimate of the mean. Rounding
    costs a ten-millionth of the square of the remaining mean. Values that were bfloat16 are rounded by far more
    themselves; others could have a smaller variance, and need a second pass.
    """
    axes = tuple(range(1, values.ndim - 1))
    shifted = values - _per_channel(near_mean[None], values.ndim)
    mean = jnp.mean(shifted, axes)
    var = jnp.maximum(jnp.mean(lax.square(shifted), axes) - lax.square(mean), 0.0)
    return mean + near_mean[None], var


def _split_batch(x: Float[Array, "b *space c"], groups: int) -> Float[Array, "groups b2 *space c"]:
    return x.reshape(groups, x.shape[0] // groups, *x.shape[1:])


def _per_channel(values: Float[Array, "groups c"], ndim: int) -> Float[Array, "groups *ones c"]:
    return values.reshape(values.shape[0], *(1,) * (ndim - 2), values.shape[1])
