"""The heads that debiasing trains on features of a model: one that sees motion, and two that cannot.

Source: Bao et al. 2021 (arXiv 2107.10161), section 3.3, `DebiasHead` of github.com/Cogito2012/DEAR.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from motion_vit.modules.clip_convolution import ClipConvolution
from motion_vit.modules.frame_convolution import FrameConvolution
from motion_vit.modules.initializers import xavier_kernel
from motion_vit.modules.linear import Linear

Features = Float[Array, "b t h w c"]

FRAMES_SPANNED = 3
"""Frames of the kernels of the heads that see several; features must have as many."""

_EPSILON = 1e-5


class HeadOutput(NamedTuple):
    """The output of a head for clips.

    Attributes:
      pooled: features, averaged over the clip.
      logits: of which exponential evidence is made.
    """

    pooled: Float[Array, "b features"]
    logits: Float[Array, "b classes"]


class DebiasingHeads(nn.Module):
    """The three heads.

    Attributes:
      num_classes: classes to tell apart.
      dropout: probability of dropping a pooled feature in training, before the logits.
    """

    num_classes: int
    dropout: float = 0.0

    def setup(self) -> None:
        """Makes the heads."""
        self.ordered = _Head(self.num_classes, self.dropout, spans_frames=True)
        self.shuffled = _Head(self.num_classes, self.dropout, spans_frames=True)
        self.frames = _Head(self.num_classes, self.dropout, spans_frames=False)

    def __call__(self, features: Features, weights: Float[Array, " b"]) -> tuple[HeadOutput, HeadOutput, HeadOutput]:
        """Applies all heads to the same features, for their initialisation; without dropout."""
        return self.unbiased(features, weights, train=False), *self.biased(features, features, weights, train=False)

    def unbiased(self, features: Features, weights: Float[Array, " b"], *, train: bool = True) -> HeadOutput:
        """Applies the head that sees motion.

        Args:
          features: of clips.
          weights: 0 for clips that do not count.
          train: whether to drop; random draws come from the RNG `dropout`.
        """
        output: HeadOutput = self.ordered(features, weights, train=train)
        return output

    def biased(
        self, features: Features, shuffled: Features, weights: Float[Array, " b"], *, train: bool = True
    ) -> tuple[HeadOutput, HeadOutput]:
        """Applies the heads that cannot see motion.

        Args:
          features: of clips, seen frame by frame.
          shuffled: the same with the frames in another order, of which several are seen at once.
          weights: 0 for clips that do not count.
          train: as for `unbiased`.

        Returns:
          Of shuffled frames, and of single ones.
        """
        return self.shuffled(shuffled, weights, train=train), self.frames(features, weights, train=train)


class _Head(nn.Module):
    """A strided convolution, normalisation, ReLU, the mean over the clip and a linear layer.

    Attributes:
      num_classes: classes to tell apart.
      dropout: probability of dropping a pooled feature in training.
      spans_frames: whether the convolution spans frames, of which it adds none at the ends.
    """

    num_classes: int
    dropout: float
    spans_frames: bool

    @nn.compact
    def __call__(self, x: Features, weights: Float[Array, " b"], *, train: bool) -> HeadOutput:
        """Applies the head."""
        shared: dict[str, Any] = {"stride": 2, "kernel_init": xavier_kernel, "dtype": x.dtype, "name": "convolution"}
        width = 2 * x.shape[-1]
        if self.spans_frames:
            x = ClipConvolution(width, FRAMES_SPANNED, 3, pad_frames=False, **shared)(x)
        else:
            x = FrameConvolution(width, 3, **shared)(x)
        x = jax.nn.relu(_BatchNorm(name="norm")(x, weights))
        pooled = jnp.mean(x, axis=(1, 2, 3))
        dropped = nn.Dropout(self.dropout)(pooled, deterministic=not train)
        return HeadOutput(pooled, Linear(self.num_classes, nn.initializers.normal(0.01), name="head")(dropped))


class _BatchNorm(nn.Module):
    """Normalises each channel by the statistics of the clips that count, of the whole batch.

    Unlike `motion_vit.modules.batch_norm.BatchNorm` it keeps no running statistics, because the heads are for training
    alone, and leaves clips of weight 0 out.
    """

    @nn.compact
    def __call__(self, x: Features, weights: Float[Array, " b"]) -> Features:
        """Normalises `x`; the result is float32."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        x = x.astype(jnp.float32)
        shares = weights / jnp.maximum(jnp.sum(weights), 1.0)

        def mean(values: Features) -> Float[Array, " c"]:
            return jnp.einsum("b,bc->c", shares, jnp.mean(values, axis=(1, 2, 3)), precision=lax.Precision.HIGHEST)

        centred = x - mean(x).reshape(1, 1, 1, 1, -1)
        factor = scale * lax.rsqrt(mean(jnp.square(centred)) + _EPSILON)
        return centred * factor.reshape(1, 1, 1, 1, -1) + bias.reshape(1, 1, 1, 1, -1)
