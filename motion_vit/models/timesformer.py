"""TimeSformer, a plain vision transformer for clips, whose attention over time may also be a cost volume.

Sources: "Is Space-Time Attention All You Need for Video Understanding?" (arXiv 2102.05095;
`timesformer/models/vit.py` of facebookresearch/TimeSformer) and, for the cost volumes, EMIM (arXiv 2510.18705). Cost
volumes in the place of the attention over time are this library's combination.
"""

import dataclasses
import functools
import re
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.cost_volume_backbone import CostVolumeBackbone, make_emim
from motion_vit.models.intermediates import name_output
from motion_vit.models.option import option
from motion_vit.models.option_ranges import (
    BATCH_NORM_GROUPS,
    DEPTH,
    MLP_RATIO,
    NORM_EPSILON,
    WIDTH,
    MotionModuleName,
    implementation,
)
from motion_vit.models.rematerialization import Remat
from motion_vit.models.stage import Stage
from motion_vit.models.token_layout import TokenLayout, no_place, patch_layout
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.initializers import LINEAR_KERNELS, Initialization
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.motion_module import make_motion_module
from motion_vit.modules.space_time_blocks import DividedAttentionBlock, JointAttentionBlock
from motion_vit.modules.token_embedding import TokenEmbedding
from motion_vit.ops import global_attention
from motion_vit.ranges import IMAGE_SIDE, PROBABILITY

AttentionScheme = Literal["divided_space_time", "joint_space_time", "space_only"]
"""Which tokens see each other: each patch the same patch in all frames and then its frame; all of a clip; or those of
a frame, whose results are averaged over the frames."""

TemporalAttention = Literal["global", "cost_volume"]
"""What a patch sees in other frames: the same patch in all of them, or its neighbourhood in the next one (EMIM)."""


class TimeSformer(CostVolumeBackbone):
    """A video classifier of equal transformer blocks with a class token.

    `frames` and `image_size` decide the entries of its time and position embeddings; clips of another length or size
    take the nearest entries. The options of EMIM are those of
    `motion_vit.models.cost_volume_backbone.CostVolumeBackbone`, of no effect with global attention over time.

    Attributes:
      patch_size: height and width of a patch in pixels.
      width: channels of a token.
      depth: number of blocks.
      heads: attention heads; divides the width.
      mlp_ratio: hidden features of the perceptrons over channels.
      qkv_bias: whether queries, keys and values have biases.
      norm_epsilon: what the LayerNorms add to the variance.
      attention: which tokens see each other; see `AttentionScheme`.
      temporal_attention: what the attention over time of "divided_space_time" is; see `TemporalAttention`.
      motion_module: what the patches pass before the first attention of each block, after its normalisation; see
        `motion_vit.modules.motion_module`.
      batch_norm_groups: of the BatchNorms that some motion modules have; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      stochastic_depth: probability of skipping the last block's residual branches; rises linearly from 0 at the first.
      dropout: probability of dropping a feature after the embeddings, in perceptrons and after attention.
      initialization: how the kernels of blocks and of the head start: as "published", for the published widths, or by
        "fan_in", which narrower networks need to learn at once.
      remat: which activations of a block the backward pass finds kept; see `motion_vit.models.rematerialization`.
      scan_blocks: compile the blocks once, as a loop; see `motion_vit.models.stage.Stage`.
      attention_implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    patch_size: int = option(16, takes=IMAGE_SIDE)
    width: int = option(768, takes=WIDTH)
    depth: int = option(12, takes=DEPTH)
    heads: int = option(12, takes=WIDTH)
    mlp_ratio: float = option(4.0, takes=MLP_RATIO)
    qkv_bias: bool = True
    norm_epsilon: float = option(1e-6, takes=NORM_EPSILON)
    attention: AttentionScheme = "divided_space_time"
    temporal_attention: TemporalAttention = "global"
    motion_module: str = option("none", takes=MotionModuleName())
    batch_norm_groups: int = option(1, effect="training", takes=BATCH_NORM_GROUPS)
    stochastic_depth: float = option(0.0, effect="training", takes=PROBABILITY)
    dropout: float = option(0.0, effect="training", takes=PROBABILITY)
    initialization: Initialization = option("published", effect="training")
    remat: Remat = option("none", effect="execution", recipe_field="remat")
    scan_blocks: bool = option(False, effect="execution", recipe_field="scan_blocks")
    attention_implementation: str | None = option(
        None, effect="implementation", takes=implementation(global_attention.IMPLEMENTATIONS)
    )

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
        features = LayerNorm(self.norm_epsilon, name="norm")(features)
        features = name_output(self, "norm_output", features)
        return Linear(self.num_classes, LINEAR_KERNELS[self.initialization], name="head")(features)

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: the embeddings, each block, and the final normalisation with the head."""
        blocks = (rf"blocks/block{block}/.*" for block in range(self.depth))
        return (r"embedding/.*", *blocks, r"(norm|head)/.*")

    def cost_volume_stages(self) -> tuple[str, ...]:
        """Names the blocks if they have cost volumes."""
        return ("blocks",) if self.temporal_attention == "cost_volume" else ()

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the patches of an intermediate lie, which come after a class token."""
        if not re.match(r"embedding_output|blocks/", name):
            raise no_place(name, "the features of a class token; those of patches are in the outputs of the blocks")
        frames, height, width, _ = clip_shape
        return dataclasses.replace(patch_layout(frames, height, width, (self.patch_size,)), class_tokens=1)

    def activation_layer(self) -> str:
        """Refuses: there is no layer whose average the head classifies."""
        raise UserError(
            "a TimeSformer has no class activation map: its classifier reads a class token, not an average over "
            "patches. Ask for Grad-CAM of one of its blocks; UniFormers, VideoMAEs and ResNets have both"
        )

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        problems = []
        if self.temporal_attention == "cost_volume" and self.attention != "divided_space_time":
            problems.append(
                f"temporal_attention is 'cost_volume', but attention is {self.attention!r}, which has no attention "
                "over time of its own: it must be 'divided_space_time'"
            )
        if self.image_size < self.patch_size:
            problems.append(f"image_size is {self.image_size}, but must be at least patch_size, {self.patch_size}")
        if self.width % self.heads:
            problems.append(f"heads is {self.heads}, but must divide the width, {self.width}")
        return problems

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
    """Makes the block of an index (from 0) for patches of `grid`; `binding` holds Linen's `name` and `parent`."""
    shared: dict[str, Any] = {
        "dropout": model.dropout,
        "kernel_init": LINEAR_KERNELS[model.initialization],
        "dtype": model.dtype,
    }
    attention: dict[str, Any] = {
        "heads": model.heads,
        "biases": "all" if model.qkv_bias else "none",
        **shared,
        "parent": None,
    }
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
        "norm_epsilon": model.norm_epsilon,
        **binding,
    }
    if model.attention != "divided_space_time":
        return JointAttentionBlock(**shared)
    temporal: GlobalAttention | Emim
    if model.temporal_attention == "global":
        temporal = GlobalAttention(implementation=model.attention_implementation, **attention)
    else:
        temporal = make_emim(model, **attention)
    return DividedAttentionBlock(temporal_attention=temporal, starts_without_time=index > 0, **shared)


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
