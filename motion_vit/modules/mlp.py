"""The two-layer perceptron of transformer and convolution blocks."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.linear import Linear
from motion_vit.ops.gelu import gelu, tanh_gelu


class Mlp(nn.Module):
    """Linear, GELU, linear, applied to every token; dropout after both linears.

    Attributes:
      hidden_features: width of the hidden layer.
      dropout: probability of dropping a feature in training.
      kernel_init: initialiser of both kernels.
      dtype: dtype of the computation; parameters are float32.
      approximate_gelu: whether GELU is approximated by tanh, and not exact; see `motion_vit.ops.gelu`.
      output_init: initialiser of the last kernel; None for `kernel_init`.
    """

    hidden_features: int
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    dtype: DTypeLike = jnp.float32
    approximate_gelu: bool = False
    output_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*batch c"], *, train: bool = False) -> Float[Array, "*batch c"]:
        """Applies the perceptron; dropout draws from the RNG `dropout` when `train`."""
        features = x.shape[-1]
        x = Linear(self.hidden_features, self.kernel_init, self.dtype, name="fc1")(x)
        x = tanh_gelu(x) if self.approximate_gelu else gelu(x)
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
        x = Linear(features, self.output_init or self.kernel_init, self.dtype, name="fc2")(x)
        return nn.Dropout(self.dropout)(x, deterministic=not train)
