"""An adapter of frozen tokens: a narrow perceptron added to each of them.

Sources: Houlsby et al., "Parameter-efficient transfer learning for NLP" (arXiv 1902.00751); AIM (arXiv 2302.03024) has
the same inside the blocks of an image model. Here it stands behind the last one, so that no gradient enters the blocks.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.layer_checks import check_counts
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.mlp import Mlp


class BottleneckAdapter(nn.Module):
    """Computes `z + up(GELU(down(LN(z))))` for each token `z`.

    The layer `up` starts at zero, so that tokens stay as they are until something is learned.

    Attributes:
      hidden_features: width of the bottleneck.
      dropout: probability of dropping a feature in training.
      kernel_init: initialiser of the kernel of `down`.
      approximate_gelu: see `motion_vit.modules.mlp.Mlp`.
      dtype: dtype of the computation; parameters are float32.
    """

    hidden_features: int
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    approximate_gelu: bool = False
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        """Checks the options."""
        check_counts(self, "hidden_features")
        super().__post_init__()

    @nn.compact
    def __call__(self, tokens: Float[Array, "*batch c"], *, train: bool = False) -> Float[Array, "*batch c"]:
        """Adapts every token by itself; dropout draws from the RNG `dropout` when `train`."""
        change = Mlp(
            self.hidden_features,
            self.dropout,
            self.kernel_init,
            self.dtype,
            self.approximate_gelu,
            output_init=nn.initializers.zeros,
            name="mlp",
        )(LayerNorm(output_dtype=self.dtype, name="norm")(tokens), train=train)
        return tokens + change
