"""MobileNetV2 on every frame, averaged (TSN), with the temporal shift of TSM and the motion modules of M2A.

Sources: MobileNetV2 (arXiv 1801.04381), TSN (arXiv 1608.00859), TSM (arXiv 1811.08383) and M2A (arXiv 2111.09976);
`archs/mobilenet_v2.py` and `ops/models.py` of mit-han-lab/temporal-shift-module and of gebob19/M2A.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from motion_vit.models.intermediates import name_output
from motion_vit.models.option import option
from motion_vit.models.option_ranges import BATCH_NORM_GROUPS, STAGE_DEPTH, WIDTH, MotionModuleName
from motion_vit.models.rematerialization import Remat
from motion_vit.models.resnet import FrozenBatchNorm
from motion_vit.models.stage import Stage
from motion_vit.models.token_layout import TokenLayout, stage_of
from motion_vit.models.video_model import Backbone
from motion_vit.modules.inverted_residual import ConvolutionUnit, InvertedResidual, has_shortcut
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.modules.motion_module import NO_MOTION
from motion_vit.ranges import PROBABILITY, Items, Number

PUBLISHED_DEPTHS = (1, 2, 3, 4, 3, 3, 1)
"""Blocks of the seven stages."""

_STEM_WIDTH = 32
_STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 2), (6, 64, 2), (6, 96, 1), (6, 160, 2), (6, 320, 1))
"""Of each stage the expansion, the output channels and the stride of the first block (table 2 of the paper)."""

_STRIDES = (2, 4, 8, 16, 16, 32, 32)
"""Distance in pixels of the positions of each stage."""


def round_width(channels: int, factor: float) -> int:
    """Scales channels and rounds up to a multiple of 8, as `make_divisible` of the authors' code does.

    torchvision's function of this purpose rounds to the nearest multiple, unless that takes away more than a tenth, and
    also scales the stem and stage 1. Both leave the published channels as they are.

    Args:
      channels: of the published network.
      factor: what they are multiplied by.
    """
    return math.ceil(channels * factor / 8) * 8


def stage_widths(factor: float) -> tuple[int, ...]:
    """Returns the output channels of the seven stages.

    As in the authors' code, those of the stage without an expansion are not scaled.

    Args:
      factor: the option `width` of `MobileNetV2`.
    """
    return tuple(width if ratio == 1 else round_width(width, factor) for ratio, width, _ in _STAGES)


class MobileNetV2(Backbone):
    """A classifier of frames, whose logits are averaged over the clip.

    Its parameters do not depend on `image_size`, and on `frames` only with a motion module that has TAM.

    Attributes:
      width: factor of the channels of stages 2 to 7, which are rounded up to a multiple of 8. The stem and stage 1 keep
        theirs; the last convolution is only ever widened. So has it the authors' code.
      depths: blocks of the seven stages.
      last_width: channels of the last convolution, before `width`.
      temporal_shift: whether an eighth of the channels comes from the next frame and one from the previous frame before
        the expansion of blocks that have a shortcut and an expansion (TSM).
      motion_module: what stands before the expansion of these blocks, and before its shift; see
        `motion_vit.modules.motion_module`.
      frozen_batch_norm: BatchNorms that training leaves as they are: "none", all but the one of the stem
        ("all_but_first") or "all". Those of motion modules, which start anew, are trained.
      stochastic_depth: probability of skipping the last block's residual branch; rises linearly from 0 at the first.
        Blocks without a shortcut are never skipped.
      dropout: probability of dropping a feature before the classifier.
      batch_norm_groups: parts of a batch that BatchNorm normalises each by itself; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      remat: which activations of a block the backward pass finds kept: "none" is computed again, or only the outputs of
        convolutions are kept ("matmuls"), or only the block's input ("blocks").
    """

    width: float = option(1.0, takes=Number(0, 64, above=True))
    depths: tuple[int, int, int, int, int, int, int] = option(
        PUBLISHED_DEPTHS, takes=Items(STAGE_DEPTH, 7, 7, purpose="one a stage")
    )
    last_width: int = option(1280, takes=WIDTH)
    temporal_shift: bool = False
    motion_module: str = option(NO_MOTION, takes=MotionModuleName())
    frozen_batch_norm: FrozenBatchNorm = "none"
    stochastic_depth: float = option(0.0, effect="training", takes=PROBABILITY)
    dropout: float = option(0.0, effect="training", takes=PROBABILITY)
    batch_norm_groups: int = option(1, effect="training", takes=BATCH_NORM_GROUPS)
    remat: Remat = option("none", effect="execution", recipe_field="remat")

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
          ValueError: clips of another rank or of whole numbers; frames that have become too small for a motion module,
            or another number of them than its parameters are for. In training, a batch that `batch_norm_groups` does
            not divide.
        """
        check_clips(clips)
        unit = functools.partial(ConvolutionUnit, batch_norm_groups=self.batch_norm_groups, dtype=self.dtype)
        stem = unit(_STEM_WIDTH, 3, 2, freeze_norm=self.frozen_batch_norm == "all", name="stem")
        x = name_output(self, "stem_output", stem(clips.astype(self.dtype), train=train))
        for stage in range(len(_STAGES)):
            x = self._stage(stage)(x, train=train)
        last_width = round_width(self.last_width, self.width) if self.width > 1 else self.last_width
        x = unit(last_width, freeze_norm=self.frozen_batch_norm != "none", name="last")(x, train=train)
        x = name_output(self, "last_output", x)
        features = jnp.mean(x.astype(jnp.float32), axis=(2, 3))
        features = nn.Dropout(self.dropout)(features, deterministic=not train)
        # The mean of the frames' logits, which linear layer and mean give in either order.
        classify = Linear(self.num_classes, nn.initializers.normal(0.001), name="head")
        return classify(jnp.mean(features, axis=1))

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: each block, the first one together with the stem, the last convolution and the head."""
        blocks = [(stage, block) for stage, depth in enumerate(self.depths, start=1) for block in range(depth)]
        patterns = [rf"stage{stage}/block{block}/.*" for stage, block in blocks[1:]]
        return (r"(stem|stage1/block0)/.*", *patterns, r"last/.*", r"head/.*")

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names scale and bias of frozen BatchNorms."""
        if self.frozen_batch_norm == "none":
            return ()
        frozen = (r"stage\d/block\d+/(expand|depthwise|project)_norm/.*", r"last/norm/.*")
        return (r"stem/norm/.*", *frozen) if self.frozen_batch_norm == "all" else frozen

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the features of an intermediate lie: at every `stride`-th pixel."""
        ends = {"stem_output": 1, "last_output": len(_STAGES)}
        stage = ends[name] if name in ends else stage_of(name, r"stage([1-7])/.*")
        frames, height, width, _ = clip_shape
        stride = _STRIDES[stage - 1]
        return TokenLayout(frames, -(-height // stride), -(-width // stride), stride, 0.5, (height, width))

    def activation_layer(self) -> str:
        """Names the output of the last convolution, whose average the head classifies."""
        return "last_output"

    def mixes_frames(self, stage: int, block: int) -> bool:
        """Tells if a block has the motion module and the shift of the model: with a shortcut and an expansion.

        Args:
          stage: number of the stage, from 1.
          block: number of the block in its stage, from 0.
        """
        expansion, _, stride = _STAGES[stage - 1]
        widths = (_STEM_WIDTH, *stage_widths(self.width))
        inputs = widths[stage - 1] if block == 0 else widths[stage]
        return expansion > 1 and has_shortcut(inputs, widths[stage], stride if block == 0 else 1)

    def _stage(self, stage: int) -> Stage:
        blocks = sum(self.depths)
        rates = [self.stochastic_depth * block / max(blocks - 1, 1) for block in range(blocks)]
        first = sum(self.depths[:stage])
        return Stage(
            functools.partial(_make_block, self, stage),
            tuple(rates[first : first + self.depths[stage]]),
            remat=self.remat,
            name=f"stage{stage + 1}",
        )


def _make_block(model: MobileNetV2, stage: int, index: int, **binding: Any) -> InvertedResidual:
    """Makes the block of an index of a stage, both from 0; `binding` holds Linen's `name` and `parent`."""
    mixes = model.mixes_frames(stage + 1, index)
    expansion, _, stride = _STAGES[stage]
    return InvertedResidual(
        stage_widths(model.width)[stage],
        stride=stride if index == 0 else 1,
        expansion=expansion,
        motion_module=model.motion_module if mixes else NO_MOTION,
        shift=model.temporal_shift and mixes,
        freeze_norm=model.frozen_batch_norm != "none",
        batch_norm_groups=model.batch_norm_groups,
        dtype=model.dtype,
        **binding,
    )
