"""The decoder of a masked autoencoder, which is thrown away after pretraining.

Source: `PretrainVisionTransformerDecoder` and `PretrainVisionTransformer` in `modeling_pretrain.py` of
MCG-NJU/VideoMAE (arXiv 2203.12602, section 3.3).
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from motion_vit.modules import initializers
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.ops.place_selection import take_places
from motion_vit.ops.sinusoid_table import sinusoid_table

mask_token_start = nn.initializers.truncated_normal(stddev=0.02, lower=-1.0, upper=1.0)
"""The authors' `trunc_normal_` cuts at one deviation."""


class MaskedDecoder(nn.Module):
    """Predicts the pixels of tubelets that the encoder has not seen, from those that it has.

    Attributes:
      blocks: the transformer blocks; see `motion_vit.models.token_encoder.TokenEncoder`.
      width: channels of its tokens.
      outputs: numbers of a tubelet.
      kernel_init: initialiser of the kernels of the first and the last layer.
      norm_epsilon: what the last LayerNorm adds to the variance.
      dtype: dtype of the computation.
    """

    blocks: nn.Module
    width: int
    outputs: int
    kernel_init: nn.initializers.Initializer = initializers.xavier_kernel
    norm_epsilon: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        encoded: Float[Array, "b t shown c"],
        visible: Int[Array, "b t shown"],
        predicted: Int[Array, "b t n"],
        *,
        places: int,
        train: bool = False,
    ) -> Float[Array, "b t n outputs"]:
        """Predicts.

        Args:
          encoded: output of the encoder.
          visible: the place of each of these tokens.
          predicted: places to predict.
          places: of a frame of tokens.
          train: whether blocks drop features.

        Returns:
          The numbers of each tubelet to predict, in float32.
        """
        frames, shown = visible.shape[1:]
        table = jnp.asarray(sinusoid_table(frames * places, self.width), encoded.dtype)
        table = table.reshape(1, frames, places, self.width)
        x = Linear(self.width, self.kernel_init, self.dtype, use_bias=False, name="input")(encoded)
        x = x + take_places(table, visible)
        mask_token = self.param("mask_token", mask_token_start, (self.width,))
        unknown = mask_token.astype(x.dtype).reshape(1, 1, 1, self.width) + take_places(table, predicted)
        # Attention does not depend on the order of tokens: frame by frame, frames that are split over devices stay.
        x = jnp.concatenate([x, unknown], axis=2)
        x = self.blocks(x[:, :, :, None], train=train)[:, :, shown:, 0]
        x = LayerNorm(self.norm_epsilon, self.dtype, name="norm")(x)
        return Linear(self.outputs, self.kernel_init, self.dtype, name="head")(x).astype(jnp.float32)
