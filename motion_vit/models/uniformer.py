"""UniFormer, the backbone of EMIM: convolution blocks first, attention blocks after.

Sources: UniFormer (arXiv 2201.04676; `slowfast/models/uniformer.py` of Sense-X/UniFormer) and EMIM (arXiv 2510.18705),
which keeps all frames in the stem and replaces every second attention by cost-volume attention.
"""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from motion_vit.models.cost_volume_backbone import CostVolumeBackbone, make_emim
from motion_vit.models.feature_encoder import FeatureEncoder
from motion_vit.models.frame_sharding import constrain_frames, splittable_operators
from motion_vit.models.intermediates import name_output
from motion_vit.models.option import option
from motion_vit.models.option_ranges import (
    BATCH_NORM_GROUPS,
    MLP_RATIO,
    STAGE_DEPTH,
    WIDTH,
    MotionModuleName,
    implementation,
    one_a_stage,
)
from motion_vit.models.rematerialization import Remat
from motion_vit.models.stage import Stage
from motion_vit.models.token_layout import TokenLayout, patch_layout, stage_of
from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.convolution_block import ConvolutionBlock
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.initializers import LINEAR_KERNELS, Initialization
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.modules.patch_embedding import PatchEmbedding
from motion_vit.ops import depthwise_conv3d, global_attention
from motion_vit.ranges import FRAMES, IMAGE_SIDE, NONE, PROBABILITY, Either, Number, Text

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


class UniFormer(CostVolumeBackbone):
    """A video classifier of four stages: two of convolution blocks, two of attention blocks.

    Its parameters do not depend on `frames` and `image_size`. The options of EMIM are those of
    `motion_vit.models.cost_volume_backbone.CostVolumeBackbone`.

    Attributes:
      widths: channels of the four stages.
      depths: blocks of the four stages.
      patch_sizes: pixels, then tokens a side that each patch embedding joins to one. The published networks
        have strides of 4, 8, 16 and 32 pixels; a 1 keeps the resolution, and with it smaller motions.
      head_channels: channels of an attention head; divides the widths of stages 3 and 4.
      mlp_ratio: hidden features of the perceptrons over channels.
      placement: which attention blocks are EMIM; see `Placement`.
      motion_module: what stands at the start of every block's first residual branch, after its norm: "m2a" for motion
        aware attention; see `motion_vit.modules.motion_module`. A combination that nobody has published.
      stem_temporal_stride: 1 keeps all frames (EMIM), 2 halves them (the original UniFormer).
      layer_scale: initial value of the residual scales of attention blocks; None leaves them out.
      stochastic_depth: probability of skipping the last block's residual branches; rises linearly from 0 at the first.
      dropout: probability of dropping a feature after the stem, in perceptrons and after attention.
      initialization: how the kernels of attention blocks and of the head start: as "published", for the published
        widths, or by "fan_in", which narrower networks need to learn at once.
      batch_norm_groups: parts of a batch that BatchNorm normalises each by itself; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      remat: which activations of a block the backward pass finds kept: "none" is computed again, or only the outputs of
        linear layers are kept ("matmuls"), or only the block's input ("blocks").
      scan_blocks: compile equal blocks of a stage once, as a loop; see `motion_vit.models.stage.Stage`.
      frame_axis: axis of the mesh that frames are split over; the model then runs under `jax.set_mesh`. None leaves
        them whole.
      depthwise_implementation: see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
      attention_implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    frames: int = 16
    widths: tuple[int, int, int, int] = option((64, 128, 320, 512), takes=one_a_stage(WIDTH))
    depths: tuple[int, int, int, int] = option((3, 4, 8, 3), takes=one_a_stage(STAGE_DEPTH))
    patch_sizes: tuple[int, int, int, int] = option((4, 2, 2, 2), takes=one_a_stage(IMAGE_SIDE))
    head_channels: int = option(64, takes=WIDTH)
    mlp_ratio: float = option(4.0, takes=MLP_RATIO)
    placement: Placement = "lg"
    motion_module: str = option("none", takes=MotionModuleName())
    stem_temporal_stride: int = option(1, takes=FRAMES)
    # What it starts at; whether it is there, weights say.
    layer_scale: float | None = option(None, effect="training", takes=Either(NONE, Number(0, 1000)))
    stochastic_depth: float = option(0.0, effect="training", takes=PROBABILITY)
    dropout: float = option(0.0, effect="training", takes=PROBABILITY)
    initialization: Initialization = option("published", effect="training")
    batch_norm_groups: int = option(1, effect="training", takes=BATCH_NORM_GROUPS)
    remat: Remat = option("none", effect="execution", recipe_field="remat")
    scan_blocks: bool = option(False, effect="execution", recipe_field="scan_blocks")
    frame_axis: str | None = option(None, effect="execution", recipe_field="mesh.frames", takes=Either(NONE, Text(100)))
    depthwise_implementation: str | None = option(
        None, effect="implementation", takes=implementation(depthwise_conv3d.IMPLEMENTATIONS)
    )
    attention_implementation: str | None = option(
        None, effect="implementation", takes=implementation(global_attention.IMPLEMENTATIONS)
    )

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
          ValueError: clips of another rank or of whole numbers, smaller than a token of the last stage, or too few
            frames for a frame pair; in training a batch that `batch_norm_groups` does not divide.
          UserError: with a `frame_axis`, no mesh that has it, or frames that its devices do not divide.
        """
        with splittable_operators(self.frame_axis):
            x = _last_features(self, self, clips, train=train)
            features = jnp.mean(x.astype(jnp.float32), axis=(1, 2, 3))
            return Linear(self.num_classes, LINEAR_KERNELS[self.initialization], name="head")(features)

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers, see `VideoModel.layer_patterns`.

        Returns:
          A block is a layer; the first one of a stage together with the patch embedding before it. The last layer is
          the final normalisation with the head.
        """
        patterns = []
        for stage, depth in enumerate(self.depths, start=1):
            patterns.append(rf"(patch_embed{stage}|stage{stage}/block0)/.*")
            patterns += [rf"stage{stage}/block{block}/.*" for block in range(1, depth)]
        return (*patterns, r"(norm|head)/.*")

    def cost_volume_stages(self) -> tuple[str, ...]:
        """Names the stages that have EMIM."""
        kinds = _PLACEMENTS[self.placement]
        return tuple(
            f"stage{stage + 1}"
            for stage in (2, 3)
            if "l" in (kinds[stage - 2] * self.depths[stage])[: self.depths[stage]]
        )

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the tokens of an intermediate lie: those of a stage are patches of its patch embeddings."""
        stage = 4 if name == "norm_output" else stage_of(name, r"(?:patch_embed|stage)([1-4])[_/].*")
        frames, height, width, _ = clip_shape
        stride = self.stem_temporal_stride
        layout = patch_layout(-(-frames // stride), height, width, self.patch_sizes[:stage])
        return dataclasses.replace(layout, temporal_stride=stride)

    def activation_layer(self) -> str:
        """Names the tokens whose average the head classifies."""
        return "norm_output"

    def feature_encoder(self) -> FeatureEncoder:
        """Gives all but the head: patch embeddings, stages and the last normalisation."""
        side = math.prod(self.patch_sizes)
        return FeatureEncoder(
            encode=functools.partial(_last_features, self),
            parts=(*(f"{part}{stage}" for stage in range(1, 5) for part in ("patch_embed", "stage")), "norm"),
            tubelet=(self.stem_temporal_stride, side, side),
            kernel_init=LINEAR_KERNELS[self.initialization],
            dtype=self.dtype,
            frame_axis=self.frame_axis,
        )

    def with_frames_split(self, axis: str) -> "UniFormer":
        """Makes the model split frames over an axis of the mesh."""
        split: UniFormer = self.clone(frame_axis=axis)
        return split

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        if not any(width % self.head_channels for width in self.widths[2:]):
            return []
        return [
            f"head_channels is {self.head_channels}, but must divide the widths of stages 3 and 4, {self.widths[2:]}"
        ]

    def _stage(self, stage: int, **binding: Any) -> Stage:
        rates = np.linspace(0, self.stochastic_depth, sum(self.depths)).tolist()
        first = sum(self.depths[:stage])
        kinds = _PLACEMENTS[self.placement][stage - 2] if stage >= 2 else "cc"
        return Stage(
            functools.partial(_make_block, self, stage),
            tuple(rates[first : first + self.depths[stage]]),
            period=len(set(kinds)),
            scan_blocks=self.scan_blocks,
            remat=self.remat,
            frame_axis=self.frame_axis,
            name=f"stage{stage + 1}",
            **binding,
        )

    def _patch_embedding(self, stage: int, **binding: Any) -> PatchEmbedding:
        first = stage == 0
        return PatchEmbedding(
            self.widths[stage],
            kernel_size=(3 if first else 1, self.patch_sizes[stage], self.patch_sizes[stage]),
            temporal_stride=self.stem_temporal_stride if first else 1,
            dtype=self.dtype,
            name=f"patch_embed{stage + 1}",
            **binding,
        )


def _last_features(
    model: UniFormer, module: nn.Module, clips: Float[Array, "b t h w 3"], *, train: bool
) -> Float[Array, "b t2 h2 w2 c"]:
    """Computes the features that the head averages, with layers that are made in a module.

    Args:
      model: has the options.
      module: the one whose compact method is running: the model itself, or a network that is to have its layers.
      clips: normalised clips.
      train: as for the model.

    Returns:
      The intermediate `norm_output`.

    Raises:
      ValueError: as the model's `__call__`.
      UserError: likewise.
    """
    _check_clips(clips, model)
    x = clips.astype(model.dtype)
    for stage in range(4):
        x = model._patch_embedding(stage, parent=module)(x)
        if not module.is_initializing():
            x = constrain_frames(x, model.frame_axis)
        x = name_output(module, f"patch_embed{stage + 1}_output", x)
        if stage == 0:
            x = nn.Dropout(model.dropout)(x, deterministic=not train)
        x = model._stage(stage, parent=module)(x, train=train)
    x = BatchNorm(groups=model.batch_norm_groups, dtype=model.dtype, name="norm")(x, train=train)
    return name_output(module, "norm_output", x)


def _make_block(model: UniFormer, stage: int, index: int, **binding: Any) -> nn.Module:
    """Makes the block of an index of a stage (from 0); `binding` holds Linen's `name` and `parent`."""
    shared = {
        "mlp_ratio": model.mlp_ratio,
        "dropout": model.dropout,
        "dtype": model.dtype,
        "motion_module": model.motion_module,
        "batch_norm_groups": model.batch_norm_groups,
        "depthwise_implementation": model.depthwise_implementation,
        **binding,
    }
    if stage < 2:
        return ConvolutionBlock(**shared)
    return AttentionBlock(
        _make_attention(model, stage, index),
        layer_scale=model.layer_scale,
        kernel_init=LINEAR_KERNELS[model.initialization],
        **shared,
    )


def _make_attention(model: UniFormer, stage: int, index: int) -> Emim | GlobalAttention:
    shared: dict[str, Any] = {
        "heads": model.widths[stage] // model.head_channels,
        "dropout": model.dropout,
        "kernel_init": LINEAR_KERNELS[model.initialization],
        "dtype": model.dtype,
        "parent": None,  # adopted by the block, under the name of the field that holds it
    }
    if _PLACEMENTS[model.placement][stage - 2][index % 2] == "g":
        return GlobalAttention(implementation=model.attention_implementation, **shared)
    return make_emim(model, keep_frames=model.frame_axis is not None, **shared)


def _check_clips(clips: Array, model: UniFormer) -> None:
    check_clips(clips)
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
