"""UniFormer, the backbone of EMIM: convolution blocks first, attention blocks after.

Sources: UniFormer (arXiv 2201.04676; `slowfast/models/uniformer.py` of Sense-X/UniFormer) and EMIM (arXiv 2510.18705),
which keeps all frames in the stem and replaces every second attention by cost-volume attention.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.depthwise_conv3d import DepthwiseConv3D
from motion_vit.modules.emim import Emim, Neighbours
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.linear import Linear
from motion_vit.modules.mlp import Mlp
from motion_vit.modules.patch_embedding import PatchEmbedding
from motion_vit.ops.cost_volume import MotionInput

Placement = Literal["lg", "gl", "ll", "gg", "stage3", "stage4"]
"""Where EMIM stands among the attention blocks: "l" is EMIM, "g" global attention, alternating from the first block of
each stage. "stage3" and "stage4" alternate as "lg" in that stage and are global in the other."""

_PLACEMENTS: dict[str, tuple[str, str]] = {
    "lg": ("lg", "lg"),
    "gl": ("gl", "gl"),
    "ll": ("ll", "ll"),
    "gg": ("gg", "gg"),
    "stage3": ("lg", "gg"),
    "stage4": ("gg", "lg"),
}

Clips = Float[Array, "b t h w c"]


class ConvolutionBlock(nn.Module):
    """Depthwise position encoding, depthwise 5x5x5 aggregation and a perceptron, all residual (UniFormer's `CBlock`).

    Attributes:
      mlp_ratio: hidden features of the perceptron over channels.
      stochastic_depth: probability of skipping a residual branch of an example in training.
      dropout: probability of dropping a feature in training.
      dtype: dtype of the computation.
      depthwise_implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    mlp_ratio: float
    stochastic_depth: float
    dropout: float
    dtype: jnp.dtype
    depthwise_implementation: str | None

    @nn.compact
    def __call__(self, x: Clips, train: bool) -> Clips:
        """Applies the block; random draws come from the RNG `dropout`."""
        channels = x.shape[-1]
        depthwise = {"dtype": self.dtype, "implementation": self.depthwise_implementation}
        pointwise = {"dtype": self.dtype, "kernel_init": initializers.convolution_kernel}
        skip = nn.Dropout(self.stochastic_depth, broadcast_dims=(1, 2, 3, 4), deterministic=not train)
        x = x + DepthwiseConv3D(3, **depthwise, name="position")(x)
        y = BatchNorm(dtype=self.dtype, name="norm1")(x, train=train)
        y = Linear(channels, **pointwise, name="conv1")(y)
        y = DepthwiseConv3D(5, **depthwise, name="depthwise")(y)
        x = x + skip(Linear(channels, **pointwise, name="conv2")(y))
        y = BatchNorm(dtype=self.dtype, name="norm2")(x, train=train)
        hidden = int(channels * self.mlp_ratio)
        return x + skip(Mlp(hidden, self.dropout, **pointwise, name="mlp")(y, train=train))


class AttentionBlock(nn.Module):
    """Depthwise position encoding, attention and a perceptron, all residual (UniFormer's `SABlock`).

    Attributes:
      attention: the attention layer.
      mlp_ratio: hidden features of the perceptron over channels.
      layer_scale: initial value of a learned scale of each channel of the residual branches; None leaves it out.
      stochastic_depth: probability of skipping a residual branch of an example in training.
      dropout: probability of dropping a feature in training.
      dtype: dtype of the computation.
      depthwise_implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    attention: nn.Module
    mlp_ratio: float
    layer_scale: float | None
    stochastic_depth: float
    dropout: float
    dtype: jnp.dtype
    depthwise_implementation: str | None

    @nn.compact
    def __call__(self, x: Clips, train: bool) -> Clips:
        """Applies the block; random draws come from the RNG `dropout`."""
        channels = x.shape[-1]
        skip = nn.Dropout(self.stochastic_depth, broadcast_dims=(1, 2, 3, 4), deterministic=not train)
        position = DepthwiseConv3D(3, dtype=self.dtype, implementation=self.depthwise_implementation, name="position")
        x = x + position(x)
        y = nn.LayerNorm(epsilon=1e-6, name="norm1")(x.astype(jnp.float32)).astype(self.dtype)
        y = self.attention(y, train=train)
        x = x + skip(self._scale(y, "layer_scale1"))
        y = nn.LayerNorm(epsilon=1e-6, name="norm2")(x.astype(jnp.float32)).astype(self.dtype)
        y = Mlp(int(channels * self.mlp_ratio), self.dropout, dtype=self.dtype, name="mlp")(y, train=train)
        return x + skip(self._scale(y, "layer_scale2"))

    def _scale(self, y: Clips, name: str) -> Clips:
        if self.layer_scale is None:
            return y
        gamma = self.param(name, nn.initializers.constant(self.layer_scale), (y.shape[-1],))
        return y * gamma.astype(self.dtype).reshape(1, 1, 1, 1, -1)


class Stage(nn.Module):
    """Blocks of one resolution, applied in turn. Each stores its output as the intermediate `block{i}_output`.

    Attributes:
      depth: number of blocks.
      make_block: makes the block of an index.
    """

    depth: int
    make_block: Callable[[int], nn.Module]

    @nn.compact
    def __call__(self, x: Clips, *, train: bool) -> Clips:
        """Applies the blocks."""
        for index in range(self.depth):
            x = self.make_block(index)(x, train)
            _store(self, f"block{index}_output", x)
        return x


class UniFormer(nn.Module):
    """A video classifier of four stages: two of convolution blocks, two of attention blocks.

    Attributes:
      num_classes: classes to tell apart.
      frames: frames of the clips it is meant for; the parameters do not depend on it.
      image_size: height and width in pixels of the clips it is meant for; the parameters do not depend on it.
      widths: channels of the four stages.
      depths: blocks of the four stages.
      patch_sizes: pixels, then tokens a side that each patch embedding joins to one. The published networks
        have strides of 4, 8, 16 and 32 pixels; a 1 keeps the resolution, and with it smaller motions.
      head_channels: channels of an attention head; divides the widths of stages 3 and 4.
      mlp_ratio: hidden features of the perceptrons over channels.
      placement: which attention blocks are EMIM; see `Placement`.
      window: side of the EMIM neighbourhood in tokens, odd.
      motion_branch: whether EMIM has its motion branch (ablation).
      position_bias: whether EMIM has its displacement bias (ablation).
      motion_input: what the motion branch reads: "affinity" or its "softmax" (ablation).
      frame_offset: frames between query and key frame of EMIM: 1, or 2 (ablation).
      neighbours: "next" or "both" neighbouring frames in EMIM (ablation).
      stem_temporal_stride: 1 keeps all frames (EMIM), 2 halves them (the original UniFormer).
      layer_scale: initial value of the residual scales of attention blocks; None leaves them out.
      stochastic_depth: probability of skipping the last block's residual branches; rises linearly from 0 at the first.
      dropout: probability of dropping a feature after the stem, in perceptrons and after attention.
      dtype: dtype of the computation (float32 or bfloat16); parameters, statistics and logits are float32.
      remat: recompute each block's activations in the backward pass instead of keeping them.
      cost_volume_implementation: see `motion_vit.ops.cost_volume.cost_volume_attention`.
      depthwise_implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
      attention_implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    num_classes: int = 400
    frames: int = 16
    image_size: int = 224
    widths: tuple[int, int, int, int] = (64, 128, 320, 512)
    depths: tuple[int, int, int, int] = (3, 4, 8, 3)
    patch_sizes: tuple[int, int, int, int] = (4, 2, 2, 2)
    head_channels: int = 64
    mlp_ratio: float = 4.0
    placement: Placement = "lg"
    window: int = 7
    motion_branch: bool = True
    position_bias: bool = True
    motion_input: MotionInput = "affinity"
    frame_offset: int = 1
    neighbours: Neighbours = "next"
    stem_temporal_stride: int = 1
    layer_scale: float | None = None
    stochastic_depth: float = 0.0
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    remat: bool = False
    cost_volume_implementation: str | None = None
    depthwise_implementation: str | None = None
    attention_implementation: str | None = None

    def __post_init__(self) -> None:
        """Checks the options, so that a mistake is named before anything is built."""
        if problems := _problems(self):
            raise ValueError("; ".join(problems))
        super().__post_init__()

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w 3"], train: bool = False) -> Float[Array, "b classes"]:
        """Classifies clips.

        Args:
          clips: normalised clips.
          train: whether BatchNorm uses the statistics of this batch and dropout and stochastic depth are active. The
            collection `batch_stats` must then be mutable, and the RNG `dropout` given where a rate is above 0.

        Returns:
          Logits in float32. With the collection `intermediates` mutable also the named intermediates: see
          `motion_vit.models.intermediates`.

        Raises:
          ValueError: clips of another rank, smaller than a token of the last stage, or too few frames for a frame pair.
        """
        _check_clips(clips, self)
        x = clips.astype(self.dtype)
        for stage in range(4):
            x = self._patch_embedding(stage)(x)
            _store(self, f"patch_embed{stage + 1}_output", x)
            if stage == 0:
                x = nn.Dropout(self.dropout)(x, deterministic=not train)
            x = Stage(self.depths[stage], functools.partial(_make_block, self, stage), name=f"stage{stage + 1}")(
                x, train=train
            )
        x = BatchNorm(dtype=self.dtype, name="norm")(x, train=train)
        _store(self, "norm_output", x)
        features = jnp.mean(x.astype(jnp.float32), axis=(1, 2, 3))
        return Linear(self.num_classes, name="head")(features)

    def _patch_embedding(self, stage: int) -> PatchEmbedding:
        first = stage == 0
        return PatchEmbedding(
            self.widths[stage],
            kernel_size=(3 if first else 1, self.patch_sizes[stage], self.patch_sizes[stage]),
            temporal_stride=self.stem_temporal_stride if first else 1,
            dtype=self.dtype,
            name=f"patch_embed{stage + 1}",
        )


def _make_block(model: UniFormer, stage: int, index: int) -> nn.Module:
    block_type = ConvolutionBlock if stage < 2 else AttentionBlock
    if model.remat:
        block_type = nn.remat(block_type, static_argnums=(2,))
    rates = np.linspace(0, model.stochastic_depth, sum(model.depths))
    options = {
        "mlp_ratio": model.mlp_ratio,
        "stochastic_depth": float(rates[sum(model.depths[:stage]) + index]),
        "dropout": model.dropout,
        "dtype": model.dtype,
        "depthwise_implementation": model.depthwise_implementation,
        "name": f"block{index}",
    }
    if stage >= 2:
        options |= {"attention": _make_attention(model, stage, index), "layer_scale": model.layer_scale}
    return block_type(**options)


def _make_attention(model: UniFormer, stage: int, index: int) -> Emim | GlobalAttention:
    shared = {
        "heads": model.widths[stage] // model.head_channels,
        "dropout": model.dropout,
        "dtype": model.dtype,
        "parent": None,  # adopted by the block, under the name of the field that holds it
    }
    if _PLACEMENTS[model.placement][stage - 2][index % 2] == "g":
        return GlobalAttention(implementation=model.attention_implementation, **shared)
    return Emim(
        window=model.window,
        motion_branch=model.motion_branch,
        position_bias=model.position_bias,
        motion_input=model.motion_input,
        frame_offset=model.frame_offset,
        neighbours=model.neighbours,
        implementation=model.cost_volume_implementation,
        **shared,
    )


def _store(module: nn.Module, name: str, value: Array) -> None:
    if not module.is_initializing():
        module.sow("intermediates", name, value)


def _problems(model: UniFormer) -> list[str]:
    """What is wrong with a model's options, each as a sentence that says what was expected."""
    problems = []
    for name in ("placement", "motion_input", "neighbours"):
        allowed = get_args({"placement": Placement, "motion_input": MotionInput, "neighbours": Neighbours}[name])
        if getattr(model, name) not in allowed:
            problems.append(f"{name} is {getattr(model, name)!r}, but must be one of {', '.join(allowed)}")
    for name in ("widths", "depths", "patch_sizes"):
        sizes = getattr(model, name)
        if len(sizes) != 4 or any(size < 1 for size in sizes):
            problems.append(f"{name} is {sizes}, but must be four positive numbers, one a stage")
    if model.window < 1 or model.window % 2 == 0:
        problems.append(f"window is {model.window}, but must be odd: it is centred on the query")
    if model.head_channels < 1 or any(width % model.head_channels for width in model.widths[2:]):
        problems.append(
            f"head_channels is {model.head_channels}, but must divide the widths of stages 3 and 4, {model.widths[2:]}"
        )
    for name, low in (
        ("num_classes", 1),
        ("frames", 1),
        ("image_size", 1),
        ("frame_offset", 1),
        ("stem_temporal_stride", 1),
    ):
        if getattr(model, name) < low:
            problems.append(f"{name} is {getattr(model, name)}, but must be at least {low}")
    for name in ("stochastic_depth", "dropout"):
        if not 0 <= getattr(model, name) < 1:
            problems.append(f"{name} is {getattr(model, name)}, but must be a probability below 1")
    return problems


def _check_clips(clips: Array, model: UniFormer) -> None:
    if clips.ndim != 5 or clips.shape[-1] != 3:
        raise ValueError(f"expected clips [batch, frames, height, width, 3], got {clips.shape}")
    stride = math.prod(model.patch_sizes)
    if min(clips.shape[2:4]) < stride:
        raise ValueError(
            f"expected clips of at least {stride} x {stride} pixels (the stride of the last stage), "
            f"got {clips.shape[2:4]}"
        )
    frames = -(-clips.shape[1] // model.stem_temporal_stride)
    if model.placement != "gg" and frames <= model.frame_offset:
        least = model.frame_offset * model.stem_temporal_stride + 1
        raise ValueError(f"expected at least {least} frames, so that a frame has a neighbour, got {clips.shape[1]}")
