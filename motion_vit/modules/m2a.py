"""Motion aware attention (M2A): a plug-in that gates a backbone's features by motion between frames.

Source: arXiv 2111.09976; `M2A` and the classes around it in `ops/temporal_shift.py` of gebob19/M2A. The published
module takes differences of frames and lets frames attend to each other. Options replace these parts by others that
its authors compare.
"""

import functools
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.modules.layer_checks import check_choices, check_counts, check_features
from motion_vit.modules.linear import Linear
from motion_vit.modules.motion_excitation import MotionExcitation, TemporalDifference
from motion_vit.modules.patch_attention import PatchAttention
from motion_vit.modules.temporal_adaptive import TemporalAdaptive
from motion_vit.ops.frame_difference import frame_difference
from motion_vit.ops.self_attention import apply_attention_weights, normalize_vectors, self_attention_weights

MotionPart = Literal["none", "difference", "tea", "tdn"]
"""How motion is found: not at all, as the difference to the next frame, by TEA's motion excitation, or by TDN's."""

AttentionPart = Literal["none", "frames", "tam", "patches"]
"""How frames are brought together: not at all, by attention of whole frames, by TAM, or by attention of patches."""

_PARTS: dict[str, tuple[MotionPart, AttentionPart]] = {
    "m2a": ("difference", "frames"),
    "attention": ("none", "frames"),
    "motion": ("difference", "none"),
    "tea": ("tea", "none"),
    "tdn": ("tdn", "none"),
    "tam": ("none", "tam"),
    "patch_attention": ("difference", "patches"),
    "motion+tam": ("difference", "tam"),
    "tdn+tam": ("tdn", "tam"),
    "tea+attention": ("tea", "frames"),
}

PUBLISHED_MODULES = tuple(_PARTS)
"""The names of the published modules: "m2a" is the paper's own, the others are what its authors compare it with."""

Clips = Float[Array, "b t h w c"]


class M2A(nn.Module):
    """The shell of motion aware attention, with interchangeable parts; `M2A()` is the published module.

    With `r = c // reduction` channels, `d = W_down x`, and each frame of `d` normalised over its `h * w * r` values to
    mean 0 and variance 1:

        y = x * sigmoid(W_up (d + attention(motion(normalised d)))) + x

    A motion part alone, and TAM alone, replace the whole sum, without normalisation, as the authors compare them.
    Patches are normalised individually; see `motion_vit.modules.patch_attention.PatchAttention`.

    When the collection `intermediates` is mutable, it stores `gate` `[b, t, h, w, c]`, the sigmoid above, and
    `frame_attention` `[b, t, t]`, the attention of frame `t` (row) to each frame. Attention of patches and TAM have
    none.

    Attributes:
      motion: kind of the motion part.
      attention: kind of the part that mixes frames.
      reduction: number of input channels per inner channel.
      patch_size: side of the patches of attention "patches".
      batch_norm_groups: of the BatchNorms of TEA, TDN and TAM; see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation; normalisation and softmax are float32.
    """

    motion: MotionPart = "difference"
    attention: AttentionPart = "frames"
    reduction: int = 8
    patch_size: int = 4
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        """Checks the options."""
        check_choices(self, {"motion": MotionPart, "attention": AttentionPart})
        check_counts(self, "reduction", "patch_size", "batch_norm_groups")
        computation_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Clips, *, train: bool = False) -> Clips:
        """Gates `x`; the residual is included.

        Args:
          x: features of clips.
          train: whether the BatchNorms of TEA, TDN and TAM use the statistics of this batch.

        Returns:
          Features of the same shape.

        Raises:
          ValueError: `x` is not of the shape of clips or not of floating point numbers, there are fewer channels than
            `reduction`, or a part raises it.
        """
        check_features(x)
        channels = x.shape[-1]
        if channels < self.reduction:
            raise ValueError(f"M2A reduces channels {self.reduction} times, got only {channels} of them")
        x = x.astype(self.dtype)
        linear = functools.partial(Linear, kernel_init=initializers.convolution_kernel, dtype=self.dtype)
        inner = linear(channels // self.reduction, name="down")(x)
        inner = self._bring_together(inner, train)
        gate = nn.sigmoid(linear(channels, name="up")(inner))
        if not self.is_initializing():
            self.sow("intermediates", "gate", gate)
        return x * gate + x

    def _bring_together(self, x: Clips, train: bool) -> Clips:
        """Applies the part between the two linear layers."""
        if self.attention == "none":
            return self._find_motion(x, train)
        if self.attention == "patches":
            return PatchAttention(self.patch_size, name="attention")(x, lambda z: self._find_motion(z, train))
        aggregate = TemporalAdaptive(batch_norm_groups=self.batch_norm_groups, dtype=self.dtype, name="tam")
        if (self.motion, self.attention) == ("none", "tam"):
            return aggregate(x, train=train)
        frames = normalize_vectors(_flat_frames(x)).reshape(x.shape)
        motion = self._find_motion(frames, train)
        if self.attention == "tam":
            return x + aggregate(motion, train=train)
        motion = _flat_frames(motion)
        weights = self_attention_weights(motion)
        if not self.is_initializing():
            self.sow("intermediates", "frame_attention", weights)
        return x + apply_attention_weights(weights, motion).reshape(x.shape)

    def _find_motion(self, x: Clips, train: bool) -> Clips:
        """Applies the motion part to features."""
        if self.motion == "tea":
            return MotionExcitation(self.batch_norm_groups, self.dtype, name="tea")(x, train=train)
        if self.motion == "tdn":
            return TemporalDifference(self.batch_norm_groups, self.dtype, name="tdn")(x, train=train)
        return frame_difference(x) if self.motion == "difference" else x

    def multiply_adds(self, x: Clips) -> int:
        """Counts the multiply-adds of the attention of frames; layers and parts count their own."""
        if self.attention != "frames":
            return 0
        return 2 * x.shape[1] * x.size // x.shape[-1] * (x.shape[-1] // self.reduction)


def published_module(kind: str, **fields: Any) -> M2A:
    """Makes one of the published modules.

    Args:
      kind: its name, of `PUBLISHED_MODULES`.
      **fields: `dtype` and `batch_norm_groups` of `M2A`, and Linen's `name` and `parent`.
    """
    motion, attention = _PARTS[kind]
    return M2A(motion, attention, **fields)


def _flat_frames(x: Clips) -> Float[Array, "b t d"]:
    """Flattens every frame to a vector."""
    batch, frames, height, width, channels = x.shape
    return x.reshape(batch, frames, height * width * channels)
