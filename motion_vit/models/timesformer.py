"""TimeSformer, a plain vision transformer for clips, whose attention over time may also be a cost volume.

Sources: "Is Space-Time Attention All You Need for Video Understanding?" (arXiv 2102.05095;
`timesformer/models/vit.py` of facebookresearch/TimeSformer) and, for the cost volumes, EMIM (arXiv 2510.18705). Cost
volumes in the place of the attention over time are this library's combination.
"""

import functools
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.models.intermediates import name_output
from motion_vit.models.option_checks import (
    below_one,
    check_clips,
    no_computation_dtype,
    no_probability_below_one,
    not_above_zero,
    outside_choices,
    unknown_implementations,
    window_without_centre,
)
from motion_vit.models.rematerialization import Remat
from motion_vit.models.stage import Stage
from motion_vit.modules.emim import Emim, Neighbours
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.initializers import LINEAR_KERNELS, Initialization
from motion_vit.modules.linear import Linear
from motion_vit.modules.m2a import MotionModule, make_motion_module
from motion_vit.modules.space_time_blocks import DividedAttentionBlock, JointAttentionBlock
from motion_vit.modules.token_embedding import TokenEmbedding
from motion_vit.ops import cost_volume, global_attention
from motion_vit.ops.cost_volume import MotionInput

AttentionScheme = Literal["divided_space_time", "joint_space_time", "space_only"]
"""Which tokens see each other: each patch the same patch in all frames and then its frame; all of a clip; or those of
a frame, whose results are averaged over the frames."""

TemporalAttention = Literal["global", "cost_volume"]
"""What a patch sees in other frames: the same patch in all of them, or its neighbourhood in the next one (EMIM)."""


class TimeSformer(nn.Module):
    """A video classifier of equal transformer blocks with a class token.

    Attributes:
      num_classes: classes to tell apart.
      frames: frames of the clips it is meant for, and entries of its time embedding. Clips of another length take the
        nearest entries.
      image_size: height and width in pixels of the clips it is meant for, which decide the entries of its position
        embedding. Clips of another size take the nearest entries.
      patch_size: height and width of a patch in pixels.
      width: channels of a token.
      depth: number of blocks.
      heads: attention heads; divides the width.
      mlp_ratio: hidden features of the perceptrons over channels.
      attention: which tokens see each other; see `AttentionScheme`.
      temporal_attention: what the attention over time of "divided_space_time" is; see `TemporalAttention`.
      window: side of the cost volume's neighbourhood in patches, odd. This and the next five are of no effect with
        global attention over time; see `motion_vit.modules.emim.Emim`.
      motion_branch: whether the cost volume has its motion branch (ablation).
      position_bias: whether the cost volume has its displacement bias (ablation).
      motion_input: what the motion branch reads: "affinity" or its "softmax" (ablation).
      frame_offset: frames between query and key frame of the cost volume.
      neighbours: "next" or "both" neighbouring frames in the cost volume.
      motion_module: what the patches pass before the first attention of each block, after its normalisation; see
        `motion_vit.modules.m2a.make_motion_module`.
      batch_norm_groups: of the BatchNorms that some motion modules have; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      stochastic_depth: probability of skipping the last block's residual branches; rises linearly from 0 at the first.
      dropout: probability of dropping a feature after the embeddings, in perceptrons and after attention.
      initialization: how the kernels of blocks and of the head start: as "published", for the published widths, or by
        "fan_in", which narrower networks need to learn at once.
      dtype: dtype of the computation (float32, bfloat16 or float16); parameters, statistics and logits are float32.
      remat: which activations of a block the backward pass finds kept; see `motion_vit.models.rematerialization`.
      scan_blocks: compile the blocks once, as a loop; see `motion_vit.models.stage.Stage`.
      cost_volume_implementation: see `motion_vit.ops.cost_volume.cost_volume_attention`.
      attention_implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    num_classes: int = 400
    frames: int = 8
    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    attention: AttentionScheme = "divided_space_time"
    temporal_attention: TemporalAttention = "global"
    window: int = 7
    motion_branch: bool = True
    position_bias: bool = True
    motion_input: MotionInput = "affinity"
    frame_offset: int = 1
    neighbours: Neighbours = "next"
    motion_module: MotionModule = "none"
    batch_norm_groups: int = 1
    stochastic_depth: float = 0.0
    dropout: float = 0.0
    initialization: Initialization = "published"
    dtype: DTypeLike = jnp.float32
    remat: Remat = "none"
    scan_blocks: bool = False
    cost_volume_implementation: str | None = None
    attention_implementation: str | None = None

    def __post_init__(self) -> None:
        """Checks the options, so that a mistake is named before anything is built."""
        if problems := _problems(self):
            raise ValueError("; ".join(problems))
        super().__post_init__()

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels of the clips it is meant for."""
        return self.frames, self.image_size, self.image_size, 3

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w 3"], train: bool = False) -> Float[Array, "b classes"]:
        """Classifies clips.

        Args:
          clips: normalised clips.
          train: whether dropout and stochastic depth are active, and motion modules' BatchNorms use the statistics of
            this batch. The RNG `dropout` must then be given where a rate is above 0, and `batch_stats` be mutable where
            there is a BatchNorm.

        Returns:
          Logits in float32. With the collection `intermediates` mutable also the named intermediates: see
          `motion_vit.models.intermediates`.

        Raises:
          ValueError: clips of another rank or of whole numbers, smaller than a patch, or too few frames for a frame
            pair; in training a batch that `batch_norm_groups` does not divide.
        """
        _check_clips(clips, self)
        batch, frames, height, width = clips.shape[:4]
        each_frame = self.attention == "space_only"
        if each_frame:
            clips = clips.reshape(batch * frames, 1, height, width, 3)
        x = self._embedding(has_time=not each_frame)(clips, train=train)
        x = name_output(self, "embedding_output", x)
        x = self._blocks((frames, height // self.patch_size, width // self.patch_size))(x, train=train)
        features = lax.slice_in_dim(x, 0, 1, axis=1).reshape(batch, -1, self.width)
        features = jnp.mean(features.astype(jnp.float32), axis=1)  # of each frame, or of one class token
        features = nn.LayerNorm(epsilon=1e-6, name="norm")(features)
        features = name_output(self, "norm_output", features)
        return Linear(self.num_classes, LINEAR_KERNELS[self.initialization], name="head")(features)

    def layer_patterns(self) -> tuple[str, ...]:
        """The layers from input to output, for learning rates that decay from layer to layer.

        Returns:
          For each layer a regular expression that matches the paths of its parameters as a whole, parts joined by "/":
          the embeddings, each block, and the final normalisation with the head.
        """
        blocks = (rf"blocks/block{block}/.*" for block in range(self.depth))
        return (r"embedding/.*", *blocks, r"(norm|head)/.*")

    def cost_volume_stages(self) -> tuple[str, ...]:
        """The name of the blocks if they have cost volumes."""
        return ("blocks",) if self.temporal_attention == "cost_volume" else ()

    def _embedding(self, has_time: bool) -> TokenEmbedding:
        return TokenEmbedding(
            self.width,
            self.patch_size,
            grid_size=self.image_size // self.patch_size,
            frames=self.frames if has_time else None,
            dropout=self.dropout,
            dtype=self.dtype,
            name="embedding",
        )

    def _blocks(self, grid: tuple[int, int, int]) -> Stage:
        return Stage(
            functools.partial(_make_block, self, grid),
            tuple(np.linspace(0, self.stochastic_depth, self.depth).tolist()),
            scan_blocks=self.scan_blocks,
            remat=self.remat,
            name="blocks",
        )


def _make_block(model: TimeSformer, grid: tuple[int, int, int], index: int, **binding: Any) -> nn.Module:
    """The block of an index (from 0) for patches of `grid`; `binding` holds Linen's `name` and `parent`."""
    shared: dict[str, Any] = {
        "dropout": model.dropout,
        "kernel_init": LINEAR_KERNELS[model.initialization],
        "dtype": model.dtype,
    }
    attention: dict[str, Any] = {"heads": model.heads, **shared, "parent": None}
    spatial = GlobalAttention(implementation=model.attention_implementation, **attention)
    motion = None
    if model.motion_module != "none":
        motion = make_motion_module(
            model.motion_module, batch_norm_groups=model.batch_norm_groups, dtype=model.dtype, parent=None
        )
    shared |= {
        "attention": spatial,  # layers without a parent are adopted by the block, under the names of its fields
        "motion": motion,
        "grid": grid,
        "mlp_ratio": model.mlp_ratio,
        **binding,
    }
    if model.attention != "divided_space_time":
        return JointAttentionBlock(**shared)
    temporal: GlobalAttention | Emim
    if model.temporal_attention == "global":
        temporal = GlobalAttention(implementation=model.attention_implementation, **attention)
    else:
        temporal = Emim(
            window=model.window,
            motion_branch=model.motion_branch,
            position_bias=model.position_bias,
            motion_input=model.motion_input,
            frame_offset=model.frame_offset,
            neighbours=model.neighbours,
            implementation=model.cost_volume_implementation,
            **attention,
        )
    return DividedAttentionBlock(temporal_attention=temporal, starts_without_time=index > 0, **shared)


def _problems(model: TimeSformer) -> list[str]:
    """What is wrong with a model's options, each as a sentence that says what was expected."""
    choices = {
        "attention": AttentionScheme,
        "temporal_attention": TemporalAttention,
        "motion_input": MotionInput,
        "neighbours": Neighbours,
        "motion_module": MotionModule,
        "initialization": Initialization,
        "remat": Remat,
    }
    implementations = {
        "cost_volume_implementation": cost_volume.IMPLEMENTATIONS,
        "attention_implementation": global_attention.IMPLEMENTATIONS,
    }
    problems = outside_choices(model, choices) + unknown_implementations(model, implementations)
    if model.temporal_attention == "cost_volume" and model.attention != "divided_space_time":
        problems.append(
            f"temporal_attention is 'cost_volume', but attention is {model.attention!r}, which has no attention over "
            "time of its own: it must be 'divided_space_time'"
        )
    problems += window_without_centre(model.window)
    problems += below_one(
        model, ("num_classes", "frames", "patch_size", "width", "depth", "heads", "frame_offset", "batch_norm_groups")
    )
    if model.image_size < model.patch_size:
        problems.append(f"image_size is {model.image_size}, but must be at least patch_size, {model.patch_size}")
    if model.heads < 1 or model.width % model.heads:
        problems.append(f"heads is {model.heads}, but must divide the width, {model.width}")
    problems += not_above_zero(model, ("mlp_ratio",))
    problems += no_computation_dtype(model.dtype)
    return problems + no_probability_below_one(model, ("stochastic_depth", "dropout"))


def _check_clips(clips: Array, model: TimeSformer) -> None:
    check_clips(clips)
    if min(clips.shape[2:4]) < model.patch_size:
        raise ValueError(
            f"expected clips of at least {model.patch_size} x {model.patch_size} pixels (a patch), "
            f"got {clips.shape[2:4]}"
        )
    if model.temporal_attention == "cost_volume" and clips.shape[1] <= model.frame_offset:
        raise ValueError(
            f"expected at least {model.frame_offset + 1} frames, so that a frame has a neighbour, got {clips.shape[1]}"
        )
