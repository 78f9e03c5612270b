"""The linear layer, and its bare weights for operators that apply them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.ops.kept_activations import LINEAR_OUTPUT
from motion_vit.ops.linear import linear


class LinearWeights(nn.Module):
    """The kernel and bias of a linear layer that another operator applies.

    Attributes:
      inputs: input features.
      outputs: output features.
      kernel_init: initialiser of the kernel; the bias starts at zero.
    """

    inputs: int
    outputs: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "inputs outputs"], Float[Array, " outputs"]]:
        """Returns kernel and bias."""
        kernel = self.param("kernel", self.kernel_init, (self.inputs, self.outputs))
        bias = self.param("bias", nn.initializers.zeros, (self.outputs,))
        return kernel, bias


class Linear(nn.Module):
    """A linear layer over the last axis.

    Attributes:
      features: output features.
      kernel_init: initialiser of the kernel; the bias starts at zero.
      dtype: dtype of the computation; parameters are float32.
      use_bias: whether a bias is added.
    """

    features: int
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    dtype: DTypeLike = jnp.float32
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "*batch c"]) -> Float[Array, "*batch features"]:
        """Applies the layer to every token."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), unbox=False)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        return apply_kernel(x, kernel, bias, self.dtype)

    def multiply_adds(self, x: Float[Array, "*batch c"]) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        return x.size * self.features


def apply_kernel(
    x: Float[Array, "*batch c"], boxed_kernel: Any, bias: Float[Array, " features"] | None, dtype: DTypeLike
) -> Float[Array, "*batch features"]:
    """Applies the weights of a linear layer inside the layer, in its dtype.

    Args:
      x: tokens, of any dtype.
      boxed_kernel: the kernel as `self.param` returns it with `unbox=False`.
      bias: added to the products, not in the dtype yet; None for none.
      dtype: dtype of the computation.

    Returns:
      The output, named for rematerialisation.
    """
    dtype = computation_dtype(dtype)
    # One that is split over devices is gathered when its box is opened: in bfloat16, half of the bytes travel.
    kernel = nn.meta.unbox(jax.tree.map(lambda leaf: leaf.astype(dtype), boxed_kernel))
    bias = None if bias is None else bias.astype(dtype)
    return checkpoint_name(linear(x.astype(dtype), kernel, bias), LINEAR_OUTPUT)
