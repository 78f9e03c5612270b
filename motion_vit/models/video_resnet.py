"""ResNets of basic blocks over time: R3D, MC3 and R(2+1)D, and the I3D made of a ResNet-18 that M2A was published in.

Sources: arXiv 1711.11248 and torchvision's `models/video/resnet.py`; `archs/i3d_resnet.py` of gebob19/M2A (arXiv
2111.09976), which is `models/threed_models/i3d_resnet.py` of IBM/action-recognition-pytorch.
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
from motion_vit.models.resnet import FrozenBatchNorm
from motion_vit.models.stage import Stage
from motion_vit.models.token_layout import TokenLayout, stage_of
from motion_vit.models.video_model import Backbone
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.modules.m2a import PUBLISHED_MODULES
from motion_vit.modules.residual_block import ResidualBlock, ResidualStem
from motion_vit.ranges import PROBABILITY

ClipConvolutions = Literal["3d", "mixed", "2plus1d"]
"""What the convolutions of stem and blocks are: 3 x 3 x 3 (R3D, I3D), in stages 2 to 4 of single frames (MC3), or of
frames first and then over time (R(2+1)D)."""

_KERNEL_FRAMES = 3
"""Frames that a convolution spans, where it spans several."""

_PUBLISHED_STEM = (45, 64)
"""Middle and output channels of R(2+1)D's stem, which do not follow from the rule of the blocks."""


class VideoResNet(Backbone):
    """A classifier by convolutions over frames, rows and columns in basic blocks.

    Its parameters do not depend on `image_size`, and on `frames` only with a motion module that has TAM.

    Attributes:
      widths: channels of the four stages; the first is that of the stem, too.
      depths: blocks of the four stages.
      convolutions: what the convolutions are; see `ClipConvolutions`.
      temporal_stride: whether stages 2 to 4 halve the frames, by the stride of their first convolution.
      max_pool: whether the stem ends with pooling to a quarter of the size (I3D); otherwise it halves the size.
      head_per_frame: whether the head classifies each remaining frame and averages the logits (I3D), and not the
        average features. It is the same but in training: dropout is then drawn for each frame.
      motion_module: what stands before the first convolution of each block; see `motion_vit.modules.motion_module`.
      frozen_batch_norm: BatchNorms that training leaves as they are: "none", all but those of the stem
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
    convolutions: ClipConvolutions = "3d"
    temporal_stride: bool = True
    max_pool: bool = False
    head_per_frame: bool = option(False, effect="training")
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
        middle, published_width = _PUBLISHED_STEM
        stem = ResidualStem(
            self.widths[0],
            kernel_frames=_KERNEL_FRAMES,
            middle_features=-(-middle * self.widths[0] // published_width) if self.convolutions == "2plus1d" else None,
            max_pool=self.max_pool,
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
        if not self.head_per_frame:
            features = jnp.mean(features, axis=1, keepdims=True)
        features = nn.Dropout(self.dropout)(features, deterministic=not train)
        kernel_init = nn.initializers.normal(0.001 if self.head_per_frame else 0.01)
        # The mean of the frames' logits, which linear layer and mean give in either order.
        return Linear(self.num_classes, kernel_init, name="head")(jnp.mean(features, axis=1))

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: each block, the first one together with the stem, and the head."""
        blocks = [(stage, block) for stage, depth in enumerate(self.depths, start=1) for block in range(depth)]
        patterns = [rf"stage{stage}/block{block}/.*" for stage, block in blocks[1:]]
        return (r"(stem|stage1/block0)/.*", *patterns, r"head/.*")

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names scale and bias of frozen BatchNorms, also of those between the two steps of a convolution."""
        of_blocks = (
            (r"stage\d/block\d+/(norm\d|shortcut_norm|conv\d/norm)/.*",) if self.frozen_batch_norm != "none" else ()
        )
        return (r"stem/(conv/)?norm/.*", *of_blocks) if self.frozen_batch_norm == "all" else of_blocks

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the features of an intermediate lie: at every `stride`-th pixel of every second, fourth ... frame.

        Strided convolutions are centred on the frames that they keep, of which the first is the clip's first.
        """
        stage = 1 if name == "stem_output" else stage_of(name, r"stage([1-4])/.*")
        # Motion modules stand before the first convolution of a block, which in the first of a stage has the strides.
        if re.match(r"stage[2-4]/block0/motion/", name):
            stage -= 1
        frames, height, width, _ = clip_shape
        stride = 2 ** (stage + self.max_pool)
        temporal_stride = 2 ** (stage - 1) if self.temporal_stride else 1
        return TokenLayout(
            *(-(-frames // temporal_stride), -(-height // stride), -(-width // stride)),
            *(stride, 0.5, (height, width)),
            temporal_stride=temporal_stride,
        )

    def activation_layer(self) -> str:
        """Names the output of the last block, whose average the head classifies."""
        return f"stage4/block{self.depths[3] - 1}_output"

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        problems = []
        if self.convolutions == "mixed" and self.temporal_stride:
            problems.append(
                "temporal_stride is True, but convolutions='mixed' has convolutions of single frames in the stages "
                "that would halve them: set temporal_stride=False beside it"
            )
        if self.motion_module in PUBLISHED_MODULES and min(self.widths) < 8:
            problems.append(
                f"widths is {self.widths}, but must be 8 or more: motion modules take eighths of the channels"
            )
        return problems

    def spans_frames(self, stage: int) -> bool:
        """Tells if the convolutions of a stage, from 1 to 4, or of the stem, 0, span several frames."""
        return self.convolutions != "mixed" or stage < 2

    def _stage(self, stage: int) -> Stage:
        rates = [self.stochastic_depth * block / max(sum(self.depths) - 1, 1) for block in range(sum(self.depths))]
        first = sum(self.depths[:stage])
        return Stage(
            functools.partial(_make_block, self, stage),
            tuple(rates[first : first + self.depths[stage]]),
            remat=self.remat,
            name=f"stage{stage + 1}",
        )


def _make_block(model: VideoResNet, stage: int, index: int, **binding: Any) -> ResidualBlock:
    """Makes the block of an index of a stage (from 0); `binding` holds Linen's `name` and `parent`."""
    halves = stage > 0 and index == 0
    return ResidualBlock(
        model.widths[stage],
        stride=2 if halves else 1,
        temporal_stride=2 if halves and model.temporal_stride else 1,
        kernel_frames=_KERNEL_FRAMES if model.spans_frames(stage + 1) else 1,
        spanning="factorized" if model.convolutions == "2plus1d" else "all",
        motion_module=model.motion_module,
        freeze_norm=model.frozen_batch_norm != "none",
        batch_norm_groups=model.batch_norm_groups,
        dtype=model.dtype,
        **binding,
    )
