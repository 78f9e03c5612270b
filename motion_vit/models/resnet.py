"""ResNet on every frame, averaged (TSN), with the temporal shift of TSM and the motion modules of M2A.

Sources: ResNet (arXiv 1512.03385; torchvision's `resnet.py`), TSN (arXiv 1608.00859), TSM (arXiv 1811.08383) and M2A
(arXiv 2111.09976; `ops/models.py` and `ops/temporal_shift.py` of gebob19/M2A).
"""

import functools
import re
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from motion_vit.models.intermediates import name_output
from motion_vit.models.option import option
from motion_vit.models.option_ranges import BATCH_NORM_GROUPS, STAGE_DEPTH, WIDTH, MotionModuleName, one_a_stage
from motion_vit.models.rematerialization import Remat
from motion_vit.models.stage import Stage
from motion_vit.models.token_layout import TokenLayout, stage_of
from motion_vit.models.video_model import Backbone
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.modules.m2a import PUBLISHED_MODULES
from motion_vit.modules.residual_block import ResidualBlock, ResidualStem
from motion_vit.ranges import PROBABILITY

FrozenBatchNorm = Literal["none", "all_but_first", "all"]
"""Which BatchNorms of the backbone training leaves as they are; "all_but_first" is TSN's partial BatchNorm."""

_LONG_STAGE = 23
"""From so many blocks in the third stage on, every second block mixes frames (`n_round` of the authors' code)."""


class ResNet(Backbone):
    """A classifier of frames, whose logits are averaged over the clip.

    Its parameters do not depend on `image_size`, and on `frames` only with a motion module that has TAM.

    Attributes:
      widths: inner channels of the blocks of the four stages; the first is that of the stem, too.
      depths: blocks of the four stages.
      bottleneck: whether the blocks are bottlenecks, with four times as many output channels (ResNet-50).
      temporal_shift: whether an eighth of the channels comes from the next frame and one from the previous frame before
        the first convolution of each block (TSM).
      motion_module: what stands before the first convolution of each block, and before its shift; see
        `motion_vit.modules.motion_module`. With 23 blocks or more in the third stage, every second block of each
        stage has it and the shift, from the first on.
      frozen_batch_norm: BatchNorms that training leaves as they are: "none", all but the one of the stem
        ("all_but_first") or "all". Those of motion modules, which start anew, are trained.
      stochastic_depth: probability of skipping the last block's residual branch; rises linearly from 0 at the first.
      dropout: probability of dropping a feature before the classifier.
      batch_norm_groups: parts of a batch that BatchNorm normalises each by itself; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      remat: which activations of a block the backward pass finds kept: "none" is computed again, or only the outputs of
        convolutions are kept ("matmuls"), or only the block's input ("blocks").
    """

    widths: tuple[int, int, int, int] = option((64, 128, 256, 512), takes=one_a_stage(WIDTH))
    depths: tuple[int, int, int, int] = option((2, 2, 2, 2), takes=one_a_stage(STAGE_DEPTH))
    bottleneck: bool = False
    temporal_shift: bool = False
    motion_module: str = option("none", takes=MotionModuleName())
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
        stem = ResidualStem(
            self.widths[0],
            freeze_norm=self.frozen_batch_norm == "all",
            batch_norm_groups=self.batch_norm_groups,
            dtype=self.dtype,
            name="stem",
        )
        x = stem(clips.astype(self.dtype), train=train)
        x = name_output(self, "stem_output", x)
        for stage in range(4):
            x = self._stage(stage)(x, train=train)
        features = jnp.mean(x.astype(jnp.float32), axis=(2, 3))
        features = nn.Dropout(self.dropout)(features, deterministic=not train)
        # The mean of the frames' logits, which linear layer and mean give in either order.
        classify = Linear(self.num_classes, nn.initializers.normal(0.001), name="head")
        return classify(jnp.mean(features, axis=1))

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: each block, the first one together with the stem, and the head."""
        blocks = [(stage, block) for stage, depth in enumerate(self.depths, start=1) for block in range(depth)]
        patterns = [rf"stage{stage}/block{block}/.*" for stage, block in blocks[1:]]
        return (r"(stem|stage1/block0)/.*", *patterns, r"head/.*")

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names scale and bias of frozen BatchNorms."""
        of_blocks = (r"stage\d/block\d+/(norm\d|shortcut_norm)/.*",) if self.frozen_batch_norm != "none" else ()
        return (r"stem/norm/.*", *of_blocks) if self.frozen_batch_norm == "all" else of_blocks

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the features of an intermediate lie: at every `stride`-th pixel."""
        stage = 1 if name == "stem_output" else stage_of(name, r"stage([1-4])/.*")
        # Motion modules stand before the first convolution of a block, which in the first of a stage has the stride.
        if re.match(r"stage[2-4]/block0/motion/", name):
            stage -= 1
        frames, height, width, _ = clip_shape
        rows, columns = height, width
        for _ in range(stage + 1):
            rows, columns = -(-rows // 2), -(-columns // 2)
        return TokenLayout(frames, rows, columns, 2 ** (stage + 1), 0.5, (height, width))

    def activation_layer(self) -> str:
        """Names the output of the last block, whose average the head classifies."""
        return f"stage4/block{self.depths[3] - 1}_output"

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        takes_eighths = self.temporal_shift or self.motion_module in PUBLISHED_MODULES
        if not takes_eighths or min(self.widths) >= 8:
            return []
        return [
            f"widths is {self.widths}, but must be 8 or more: shifts and motion modules take eighths of the channels"
        ]

    def mixes_frames(self, block: int) -> bool:
        """Tells if the block of a number in its stage (from 0) has the motion module and the shift of the model."""
        return self.depths[2] < _LONG_STAGE or block % 2 == 0

    def _stage(self, stage: int) -> Stage:
        rates = [self.stochastic_depth * block / max(sum(self.depths) - 1, 1) for block in range(sum(self.depths))]
        first = sum(self.depths[:stage])
        return Stage(
            functools.partial(_make_block, self, stage),
            tuple(rates[first : first + self.depths[stage]]),
            remat=self.remat,
            name=f"stage{stage + 1}",
        )


def _make_block(model: ResNet, stage: int, index: int, **binding: Any) -> ResidualBlock:
    """Makes the block of an index of a stage (from 0); `binding` holds Linen's `name` and `parent`."""
    mixes = model.mixes_frames(index)
    return ResidualBlock(
        model.widths[stage],
        stride=2 if stage > 0 and index == 0 else 1,
        bottleneck=model.bottleneck,
        motion_module=model.motion_module if mixes else "none",
        shift=model.temporal_shift and mixes,
        freeze_norm=model.frozen_batch_norm != "none",
        batch_norm_groups=model.batch_norm_groups,
        dtype=model.dtype,
        **binding,
    )
