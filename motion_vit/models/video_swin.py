"""Video Swin: a transformer of four resolutions that attends within shifted windows of a clip; cost volumes in chosen
blocks.

Sources: Video Swin Transformer (arXiv 2106.13230; `swin_transformer.py` of SwinTransformer/Video-Swin-Transformer and,
the same network, torchvision's `models/video/swin_transformer.py`) and, for the cost volumes, EMIM (arXiv 2510.18705).
Cost volumes in this network are this library's combination.
"""

import functools
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.cost_volume_backbone import CostVolumeBackbone, make_emim
from motion_vit.models.intermediates import name_output
from motion_vit.models.option import option
from motion_vit.models.option_ranges import (
    BATCH_NORM_GROUPS,
    MLP_RATIO,
    STAGE_DEPTH,
    WIDTH,
    MotionModuleName,
    implementation,
)
from motion_vit.models.rematerialization import Remat
from motion_vit.models.stage import Stage
from motion_vit.models.token_layout import TokenLayout, stage_of
from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.emim import Emim
from motion_vit.modules.initializers import LINEAR_KERNELS, Initialization
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.patch_merging import PatchMerging
from motion_vit.modules.tubelet_embedding import NormalizedTubelets
from motion_vit.modules.window_attention import WindowAttention
from motion_vit.ops import window_attention
from motion_vit.ranges import FRAMES, IMAGE_SIDE, PROBABILITY, Items, Whole

Placement = Literal["gg", "lg", "gl", "ll", "stage1", "stage2", "stage3", "stage4"]
"""Where EMIM stands among the blocks: "l" is EMIM, "g" the network's own attention within windows, alternating from the
first block of each stage. Windows of every second block are shifted: "lg" leaves the shifted ones, "gl" those that are
not. "stage1" to "stage4" alternate as "lg" in that stage and have windows in the others."""

_EPSILON = 1e-5
"""Of all normalisations, as published."""


class VideoSwin(CostVolumeBackbone):
    """A video classifier whose blocks attend within windows of neighbouring tokens, in stages of falling resolution.

    From stage to stage rows and columns are halved and channels doubled; frames of tubelets stay as many. Its
    parameters do not depend on `frames` and `image_size`. The options of EMIM are those of
    `motion_vit.models.cost_volume_backbone.CostVolumeBackbone`, of no effect with the placement "gg"; `window` among
    them is EMIM's, not that of the attention, and frames are those of tubelets.

    Attributes:
      tubelet_frames: frames that a tubelet joins.
      patch_size: height and width of a tubelet in pixels.
      width: channels of a token in the first stage.
      depths: blocks of the stages, which are as many as there are numbers.
      head_channels: channels of an attention head; divides the width.
      mlp_ratio: hidden features of the perceptrons over channels.
      attention_window: frames, rows and columns of a window of attention, in tokens. Along an axis that a single window
        covers it is as long as the clip, and never shifted.
      placement: which blocks have EMIM in the place of attention; see `Placement`.
      motion_module: what tokens pass before the attention of each block, after its normalisation; see
        `motion_vit.modules.motion_module`. A combination that nobody has published.
      batch_norm_groups: of the BatchNorms that some motion modules have; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      stochastic_depth: probability of skipping the last block's residual branches; rises linearly from 0 at the first.
      dropout: probability of dropping a feature before the classifier.
      initialization: how the kernels of blocks, of merging and of the head start: as "published", for the published
        widths, or by "fan_in", which narrower networks need to learn at once.
      remat: which activations of a block the backward pass finds kept; see `motion_vit.models.rematerialization`.
      scan_blocks: compile equal pairs of blocks of a stage once, as a loop; see `motion_vit.models.stage.Stage`.
      attention_implementation: see `motion_vit.ops.window_attention.window_attention`.
    """

    frames: int = 32
    tubelet_frames: int = option(2, takes=FRAMES)
    patch_size: int = option(4, takes=IMAGE_SIDE)
    width: int = option(96, takes=WIDTH)
    depths: tuple[int, ...] = option((2, 2, 6, 2), takes=Items(STAGE_DEPTH, 1, 6, purpose="one a stage"))
    head_channels: int = option(32, takes=WIDTH)
    mlp_ratio: float = option(4.0, takes=MLP_RATIO)
    attention_window: tuple[int, int, int] = option(
        (8, 7, 7), takes=Items(Whole(1, 64), 3, 3, purpose="frames, rows and columns")
    )
    placement: Placement = "gg"
    motion_module: str = option("none", takes=MotionModuleName())
    batch_norm_groups: int = option(1, effect="training", takes=BATCH_NORM_GROUPS)
    stochastic_depth: float = option(0.0, effect="training", takes=PROBABILITY)
    dropout: float = option(0.0, effect="training", takes=PROBABILITY)
    initialization: Initialization = option("published", effect="training")
    remat: Remat = option("none", effect="execution", recipe_field="remat")
    scan_blocks: bool = option(False, effect="execution", recipe_field="scan_blocks")
    attention_implementation: str | None = option(
        None, effect="implementation", takes=implementation(window_attention.IMPLEMENTATIONS)
    )

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w 3"], train: bool = False) -> Float[Array, "b classes"]:
        """Classifies clips.

        Args:
          clips: normalised clips of any size; they are filled up to whole tubelets and windows.
          train: whether dropout and stochastic depth are active, and motion modules' BatchNorms use the statistics of
            this batch. The RNG `dropout` must then be given where a rate is above 0, and `batch_stats` be mutable where
            there is a BatchNorm.

        Returns:
          Logits in float32. With the collection `intermediates` mutable also the named intermediates: see
          `motion_vit.models.intermediates`.

        Raises:
          ValueError: clips of another rank or of whole numbers, or too few frames for a frame pair; in training a batch
            that `batch_norm_groups` does not divide.
        """
        _check_clips(clips, self)
        kernel_init = LINEAR_KERNELS[self.initialization]
        kernel_size = (self.tubelet_frames, self.patch_size, self.patch_size)
        x = NormalizedTubelets(self.width, kernel_size, dtype=self.dtype, name="embedding")(clips)
        x = name_output(self, "embedding_output", x)
        for stage in range(len(self.depths)):
            if stage:
                x = PatchMerging(kernel_init, self.dtype, name=f"merging{stage + 1}")(x)
                x = name_output(self, f"merging{stage + 1}_output", x)
            x = self._stage(stage)(x, train=train)
        x = name_output(self, "norm_output", LayerNorm(_EPSILON, name="norm")(x))
        features = jnp.mean(x, axis=(1, 2, 3))
        features = nn.Dropout(self.dropout)(features, deterministic=not train)
        return Linear(self.num_classes, kernel_init, name="head")(features)

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers, see `VideoModel.layer_patterns`.

        Returns:
          A block is a layer; the first one of a stage together with the embedding or merging before it. The last layer
          is the final normalisation with the head.
        """
        patterns = []
        for stage, depth in enumerate(self.depths, start=1):
            before = "embedding" if stage == 1 else f"merging{stage}"
            patterns.append(rf"({before}|stage{stage}/block0)/.*")
            patterns += [rf"stage{stage}/block{block}/.*" for block in range(1, depth)]
        return (*patterns, r"(norm|head)/.*")

    def cost_volume_stages(self) -> tuple[str, ...]:
        """Names the stages that have EMIM."""
        return tuple(
            f"stage{stage + 1}" for stage, depth in enumerate(self.depths) if "l" in self._kinds(stage)[:depth]
        )

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the tokens of an intermediate lie: those of a stage are squares of tubelets."""
        last = len(self.depths)
        stage = {"embedding_output": 1, "norm_output": last}.get(name) or stage_of(
            name, rf"(?:merging|stage)([1-{last}])[_/].*"
        )
        frames, height, width, _ = clip_shape
        stride = self.patch_size * 2 ** (stage - 1)
        # The last tokens reach beyond clips that are no whole number of them.
        return TokenLayout(
            *(-(-frames // self.tubelet_frames), -(-height // stride), -(-width // stride), stride, stride / 2),
            seen=(height, width),
            temporal_stride=self.tubelet_frames,
        )

    def activation_layer(self) -> str:
        """Names the tokens whose average the head classifies."""
        return "norm_output"

    def with_frames_split(self, axis: str) -> "VideoSwin":
        """Refuses: windows that are shifted over time join frames of two devices in every second block.

        Raises:
          UserError: always.
        """
        raise UserError(
            "VideoSwin cannot split frames over devices: its windows span frames and are shifted over time. Set the "
            "config field mesh.frames to 1, and split clips (mesh.data) or parameters (mesh.fsdp) instead."
        )

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        problems = []
        if self.width % self.head_channels:
            problems.append(f"head_channels is {self.head_channels}, but must divide the width, {self.width}")
        if self.placement.startswith("stage") and int(self.placement[-1]) > len(self.depths):
            problems.append(f"placement is {self.placement}, but depths has {len(self.depths)} stages: {self.depths}")
        return problems

    def _kinds(self, stage: int) -> str:
        """Returns the kinds of attention of the blocks of a stage (from 0), which repeat."""
        if self.placement.startswith("stage"):
            kinds = "lg" if self.placement == f"stage{stage + 1}" else "gg"
        else:
            kinds = self.placement
        return kinds * self.depths[stage]

    def _stage(self, stage: int) -> Stage:
        rates = np.linspace(0, self.stochastic_depth, sum(self.depths)).tolist()
        first = sum(self.depths[:stage])
        return Stage(
            functools.partial(_make_block, self, stage),
            tuple(rates[first : first + self.depths[stage]]),
            period=2,
            scan_blocks=self.scan_blocks,
            remat=self.remat,
            name=f"stage{stage + 1}",
        )


def _make_block(model: VideoSwin, stage: int, index: int, **binding: Any) -> nn.Module:
    """Makes the block of an index of a stage (from 0); `binding` holds Linen's `name` and `parent`."""
    return AttentionBlock(
        _make_attention(model, stage, index),
        position_encoding=False,
        motion_module=model.motion_module,
        mlp_ratio=model.mlp_ratio,
        kernel_init=LINEAR_KERNELS[model.initialization],
        epsilon=_EPSILON,
        dtype=model.dtype,
        batch_norm_groups=model.batch_norm_groups,
        **binding,
    )


def _make_attention(model: VideoSwin, stage: int, index: int) -> Emim | WindowAttention:
    shared: dict[str, Any] = {
        "heads": model.width * 2**stage // model.head_channels,
        "kernel_init": LINEAR_KERNELS[model.initialization],
        "dtype": model.dtype,
        "parent": None,  # adopted by the block, under the name of the field that holds it
    }
    if model._kinds(stage)[index] == "l":
        return make_emim(model, **shared)
    return WindowAttention(
        window=model.attention_window,
        shifted=index % 2 == 1,
        implementation=model.attention_implementation,
        **shared,
    )


def _check_clips(clips: Array, model: VideoSwin) -> None:
    check_clips(clips)
    least = model.tubelet_frames * model.frame_offset + 1 if model.cost_volume_stages() else 1
    if clips.shape[1] < least:
        raise ValueError(f"expected at least {least} frames, so that a tubelet has a neighbour, got {clips.shape[1]}")
