"""ResNet on every frame, averaged (TSN), with the temporal shift of TSM and the motion modules of M2A.

Sources: ResNet (arXiv 1512.03385; torchvision's `resnet.py`), TSN (arXiv 1608.00859), TSM (arXiv 1811.08383) and M2A
(arXiv 2111.09976; `ops/models.py` and `ops/temporal_shift.py` of gebob19/M2A).
"""

import functools
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.models.intermediates import name_output
from motion_vit.models.option_checks import (
    below_one,
    check_clips,
    no_computation_dtype,
    no_probability_below_one,
    not_one_a_stage,
    outside_choices,
)
from motion_vit.models.rematerialization import Remat
from motion_vit.models.stage import Stage
from motion_vit.modules.linear import Linear
from motion_vit.modules.m2a import MotionModule
from motion_vit.modules.residual_block import ResidualBlock, ResidualStem

FrozenBatchNorm = Literal["none", "all_but_first", "all"]
"""Which BatchNorms of the backbone training leaves as they are; "all_but_first" is TSN's partial BatchNorm."""

_LONG_STAGE = 23
"""From so many blocks in the third stage on, every second block mixes frames (`n_round` of the authors' code)."""


class ResNet(nn.Module):
    """A classifier of frames, whose logits are averaged over the clip.

    Attributes:
      num_classes: classes to tell apart.
      frames: frames of the clips it is meant for; the parameters depend on it only with a motion module that has TAM.
      image_size: height and width in pixels of the clips it is meant for; the parameters do not depend on it.
      widths: inner channels of the blocks of the four stages; the first is that of the stem, too.
      depths: blocks of the four stages.
      bottleneck: whether the blocks are bottlenecks, with four times as many output channels (ResNet-50).
      temporal_shift: whether an eighth of the channels comes from the next frame and one from the previous frame before
        the first convolution of each block (TSM).
      motion_module: what stands before the first convolution of each block, and before its shift; see
        `motion_vit.modules.m2a.MotionModule`. With 23 blocks or more in the third stage, every second block of each
        stage has it and the shift, from the first on.
      frozen_batch_norm: BatchNorms that training leaves as they are: "none", all but the one of the stem
        ("all_but_first") or "all". Those of motion modules, which start anew, are trained.
      stochastic_depth: probability of skipping the last block's residual branch; rises linearly from 0 at the first.
      dropout: probability of dropping a feature before the classifier.
      dtype: dtype of the computation (float32, bfloat16 or float16); parameters, statistics and logits are float32.
      batch_norm_groups: parts of a batch that BatchNorm normalises each by itself; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      remat: which activations of a block the backward pass finds kept: "none" is computed again, or only the outputs of
        convolutions are kept ("matmuls"), or only the block's input ("blocks").
    """

    num_classes: int = 400
    frames: int = 8
    image_size: int = 224
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)
    bottleneck: bool = False
    temporal_shift: bool = False
    motion_module: MotionModule = "none"
    frozen_batch_norm: FrozenBatchNorm = "none"
    stochastic_depth: float = 0.0
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32
    batch_norm_groups: int = 1
    remat: Remat = "none"

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
          ValueError: clips of another rank or of whole numbers, or what a motion module cannot work on: frames that
            have become too small, or another number of them than its parameters are for; in training a batch that
            `batch_norm_groups` does not divide.
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

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels of the clips it is meant for."""
        return self.frames, self.image_size, self.image_size, 3

    def layer_patterns(self) -> tuple[str, ...]:
        """The layers from input to output, for learning rates that decay from layer to layer.

        Returns:
          For each layer a regular expression that matches the paths of its parameters as a whole, parts joined by "/".
          A block is a layer; the first one together with the stem. The last layer is the head.
        """
        blocks = [(stage, block) for stage, depth in enumerate(self.depths, start=1) for block in range(depth)]
        patterns = [rf"stage{stage}/block{block}/.*" for stage, block in blocks[1:]]
        return (r"(stem|stage1/block0)/.*", *patterns, r"head/.*")

    def frozen_patterns(self) -> tuple[str, ...]:
        """The parameters that training leaves as they are: scale and bias of frozen BatchNorms.

        Returns:
          Regular expressions, each of which matches the paths of some parameters as a whole, as in `layer_patterns`.
        """
        of_blocks = (r"stage\d/block\d+/(norm\d|shortcut_norm)/.*",) if self.frozen_batch_norm != "none" else ()
        return (r"stem/norm/.*", *of_blocks) if self.frozen_batch_norm == "all" else of_blocks

    def mixes_frames(self, block: int) -> bool:
        """Whether the block of a number in its stage (from 0) has the motion module and the shift of the model."""
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
    """The block of an index of a stage (from 0); `binding` holds Linen's `name` and `parent`."""
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


def _problems(model: ResNet) -> list[str]:
    """What is wrong with a model's options, each as a sentence that says what was expected."""
    choices = {"motion_module": MotionModule, "frozen_batch_norm": FrozenBatchNorm, "remat": Remat}
    problems = outside_choices(model, choices)
    problems += not_one_a_stage(model, ("widths", "depths"))
    if (model.temporal_shift or model.motion_module != "none") and any(width < 8 for width in model.widths):
        problems.append(
            f"widths is {model.widths}, but must be 8 or more: shifts and motion modules take eighths of the channels"
        )
    problems += below_one(model, ("num_classes", "frames", "image_size", "batch_norm_groups"))
    problems += no_computation_dtype(model.dtype)
    return problems + no_probability_below_one(model, ("stochastic_depth", "dropout"))
