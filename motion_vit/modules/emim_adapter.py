"""An adapter of frozen tokens: cost volumes between neighbouring frames, the motion that an image model's tokens hold.

It is this library's own; the cost volumes are those of EMIM (arXiv 2510.18705).
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules.emim import Emim
from motion_vit.modules.layer_norm import LayerNorm


class EmimAdapter(nn.Module):
    """Describes each frame by where its patches go: the mean over the patches of `EMIM(LN(z))`.

    A spatial encoder sees no other frame, and a temporal one no places. Here each patch is compared with those around
    its place in the next frame.

    Attributes:
      attention: the cost-volume attention. With `output_init` of zeros, the description starts at zero.
      dtype: dtype of the computation; parameters are float32.
    """

    attention: Emim
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, patches: Float[Array, "b t h w c"], *, train: bool = False) -> Float[Array, "b t c"]:
        """Compares neighbouring frames.

        Args:
          patches: tokens of the frames of clips, at their places.
          train: whether to drop, as of `attention`.

        Returns:
          A vector for each frame, to be added to what else is known of it.

        Raises:
          ValueError: the clips have fewer frames than `attention` compares.
        """
        seen = self.attention(LayerNorm(output_dtype=self.dtype, name="norm")(patches), train=train)
        return jnp.mean(seen.astype(jnp.float32), axis=(2, 3)).astype(seen.dtype)
