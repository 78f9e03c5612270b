"""Pooling of the queries, keys or values of attention heads."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.depthwise_conv3d import DepthwiseConv3D
from motion_vit.modules.layer_norm import LayerNorm


class HeadPooling(nn.Module):
    """A depthwise 3 x 3 x 3 convolution that all heads share, and a LayerNorm over the channels of each head.

    The class token passes the convolution by and is normalised with the others.

    Source: `attention_pool` in `slowfast/models/attention.py` of facebookresearch/SlowFast.

    Attributes:
      heads: number of heads; divides the channels.
      stride: distance of the pooled rows, and columns; frames are all kept.
      dtype: dtype of the computation; parameters are float32.
      implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    heads: int
    stride: int = 1
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None

    @nn.compact
    def __call__(
        self, patches: Float[Array, "b t h w c"], class_token: Float[Array, "b 1 c"]
    ) -> Float[Array, "b n heads d"]:
        """Pools tokens.

        Args:
          patches: tokens on their grid.
          class_token: the token that has no place on it.

        Returns:
          The class token, then the pooled patches, frame by frame and row by row, with their channels by heads.
        """
        batch, channels = patches.shape[0], patches.shape[-1]
        convolution = DepthwiseConv3D(
            3,
            self.stride,
            self.heads,
            use_bias=False,
            dtype=self.dtype,
            implementation=self.implementation,
            name="depthwise",
        )
        pooled = convolution(patches)
        places = pooled.shape[1] * pooled.shape[2] * pooled.shape[3]
        x = jnp.concatenate([class_token.astype(pooled.dtype), pooled.reshape(batch, places, channels)], axis=1)
        x = x.reshape(batch, 1 + places, self.heads, channels_of_head(channels, self.heads))
        normalized: Array = LayerNorm(output_dtype=self.dtype, name="norm")(x)
        return normalized
