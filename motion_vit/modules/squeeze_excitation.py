"""Squeeze and excitation: a gate for each channel, of the averages of all channels (arXiv 1709.01507)."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.linear import Linear


class SqueezeExcitation(nn.Module):
    """Multiplies each channel of a clip by a number from 0 to 1, which a perceptron makes of the clip's averages.

    Averages are over frames, rows and columns, as X3D takes them.

    Attributes:
      features: hidden features of the perceptron.
      dtype: dtype of the computation.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t h w c"]:
        """Gates the channels of `x`."""
        averages = jnp.mean(x.astype(jnp.float32), axis=(1, 2, 3), keepdims=True)
        init = initializers.residual_kernel
        hidden = nn.relu(Linear(self.features, init, self.dtype, name="down")(averages))
        gate = nn.sigmoid(Linear(x.shape[-1], init, self.dtype, name="up")(hidden))
        return x * gate
