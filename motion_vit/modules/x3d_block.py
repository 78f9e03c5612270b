"""The stem and the blocks of X3D: convolutions of single channels over frames, rows and columns.

Source: X3D (arXiv 2004.04730; `X3DStem` and `X3DTransform` of facebookresearch/SlowFast).
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.depthwise_conv3d import DepthwiseConv3D
from motion_vit.modules.frame_convolution import FrameConvolution
from motion_vit.modules.motion_module import apply_motion_module, make_motion_module
from motion_vit.modules.squeeze_excitation import SqueezeExcitation
from motion_vit.modules.stochastic_depth import StochasticDepth


class X3DBlock(nn.Module):
    """A residual bottleneck that is wide inside: 1 x 1 x 1, one 3 x 3 x 3 kernel per channel, 1 x 1 x 1.

    A BatchNorm follows each. The second is followed by squeeze and excitation, where the block has it, and by Swish.
    The branch begins with the motion module; the shortcut bypasses it.

    Attributes:
      inner_features: channels of the 3 x 3 x 3 convolution.
      features: output channels.
      stride: distance of the output positions in rows and columns; that of the 3 x 3 x 3 convolution.
      excitation_features: hidden features of squeeze and excitation; 0 for none.
      shortcut_norm: whether a shortcut that strides and keeps the channels is normalised; one that changes them is.
      motion_module: applied before the first convolution; see `motion_vit.modules.motion_module`.
      freeze_norm: whether training leaves the BatchNorms as they are; those of the motion module are trained.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    inner_features: int
    features: int
    stride: int = 1
    excitation_features: int = 0
    shortcut_norm: bool = True
    motion_module: str = "none"
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t h w c"], stochastic_depth: float | Float[Array, ""] = 0.0, *, train: bool = False
    ) -> Float[Array, "b t h2 w2 c2"]:
        """Applies the block; random draws come from the RNG `dropout`.

        Args:
          x: features.
          stochastic_depth: probability of skipping the residual branch of an example in training.
          train: whether to drop, and to normalise by the statistics of this batch.

        Returns:
          Features `[b, t, h / stride, w / stride, features]`.
        """
        motion = make_motion_module(
            self.motion_module, dtype=self.dtype, batch_norm_groups=self.batch_norm_groups, name="motion"
        )
        y = apply_motion_module(motion, x, train=train)
        y = self._pointwise(self.inner_features, 1, "conv1")(y)
        y = nn.relu(self._norm("norm1")(y, train=train))
        y = _channelwise((3, 3, 3), self.stride, self.dtype, "depthwise")(y)
        y = self._norm("norm2")(y, train=train)
        if self.excitation_features:
            y = SqueezeExcitation(self.excitation_features, dtype=self.dtype, name="excitation")(y)
        y = self._pointwise(self.features, 1, "conv3")(nn.silu(y))
        # A scale of 0: the block starts as its shortcut.
        y = self._norm("norm3", nn.initializers.zeros)(y, train=train)
        changes = x.shape[-1] != self.features
        if self.stride > 1 or changes:
            x = self._pointwise(self.features, self.stride, "shortcut_conv")(x)
            if self.shortcut_norm or changes:
                x = self._norm("shortcut_norm")(x, train=train)
        return nn.relu(x + StochasticDepth()(y, stochastic_depth, train=train))

    def _pointwise(self, features: int, stride: int, name: str) -> FrameConvolution:
        init = initializers.residual_kernel
        return FrameConvolution(features, 1, stride, kernel_init=init, dtype=self.dtype, name=name)

    def _norm(self, name: str, scale_init: nn.initializers.Initializer = nn.initializers.ones) -> BatchNorm:
        return BatchNorm(
            groups=self.batch_norm_groups,
            frozen=self.freeze_norm,
            scale_init=scale_init,
            dtype=self.dtype,
            name=name,
        )


class X3DStem(nn.Module):
    """The stem: a 3 x 3 convolution of frames that halves them, one of each channel over five frames, BatchNorm, ReLU.

    Nothing stands between the two convolutions.

    Attributes:
      features: output channels.
      freeze_norm: whether training leaves the BatchNorm as it is.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    features: int
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w colours"], *, train: bool = False) -> Float[Array, "b t h2 w2 c"]:
        """Applies the layers; frames keep their number."""
        init = initializers.residual_kernel
        x = FrameConvolution(self.features, 3, 2, kernel_init=init, dtype=self.dtype, name="conv")(clips)
        x = _channelwise((5, 1, 1), 1, self.dtype, "depthwise")(x)
        norm = BatchNorm(groups=self.batch_norm_groups, frozen=self.freeze_norm, dtype=self.dtype, name="norm")
        return nn.relu(norm(x, train=train))


def _channelwise(kernel_size: tuple[int, int, int], stride: int, dtype: DTypeLike, name: str) -> DepthwiseConv3D:
    return DepthwiseConv3D(
        kernel_size,
        stride,
        use_bias=False,
        kernel_init=initializers.residual_depthwise_kernel,
        dtype=dtype,
        name=name,
    )
