"""X3D: a network expanded step by step from a tiny one, over frames, resolution, depth and width.

Source: X3D (arXiv 2004.04730; `X3D` in `models/video_model_builder.py` and `X3DHead` of facebookresearch/SlowFast,
whose networks `create_x3d` of facebookresearch/pytorchvideo repeats but for one BatchNorm).
"""

import functools
import math
import re
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
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
from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.frame_convolution import FrameConvolution
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.modules.m2a import PUBLISHED_MODULES
from motion_vit.modules.x3d_block import X3DBlock, X3DStem
from motion_vit.ops.square_classification import average_squares, log_mean_probabilities
from motion_vit.ranges import IMAGE_SIDE, NONE, PROBABILITY, Either, Number

PoolAverage = Literal["probabilities", "logits"]
"""What is averaged over several squares: probabilities, as the SlowFast repository does, or logits, as PyTorchVideo."""

_BASE_WIDTHS = (12, 24, 48, 96)
_BASE_DEPTHS = (1, 2, 5, 3)
"""Those of the network that the others are expanded from, X2D."""

_EXCITATION_SHARE = 1 / 16
"""Hidden features of squeeze and excitation over the channels that it gates."""

_STRIDE = 32
"""Pixels from one feature of the last stage to the next."""


def scaled_width(width: int, factor: float) -> int:
    """Scales a number of channels as PyTorchVideo's `round_width` does.

    Args:
      width: channels.
      factor: what they are multiplied by.

    Returns:
      The nearest multiple of 8, at least 8; the next one if that is less than nine tenths of the product.
    """
    scaled = width * factor
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def scaled_widths(factor: float) -> tuple[int, int, int, int]:
    """Gives the channels of the four stages for X3D's width factor; the published networks have 2.

    Args:
      factor: so many times as many as X2D has.
    """
    first, second, third, fourth = (scaled_width(width, factor) for width in _BASE_WIDTHS)
    return first, second, third, fourth


def scaled_depths(factor: float) -> tuple[int, int, int, int]:
    """Gives the blocks of the four stages for X3D's depth factor: 2.2 for XS, S and M, and 5 for L.

    Args:
      factor: so many times as many as X2D has, rounded up.
    """
    first, second, third, fourth = (math.ceil(depth * factor) for depth in _BASE_DEPTHS)
    return first, second, third, fourth


class X3D(Backbone):
    """A classifier of clips by bottlenecks that are wide inside and convolve each channel there by itself.

    Nothing strides over time. Its parameters do not depend on `image_size`, and on `frames` only with a motion module
    that has TAM.

    Attributes:
      widths: output channels of the blocks of the four stages; the first is that of the stem, too.
      depths: blocks of the four stages.
      inner_ratio: channels inside of a block over those of its output, rounded down.
      head_features: hidden features of the classifier.
      stride_norm: whether the shortcut of the first block, which strides and keeps the channels if `widths` are those
        of the stem, has a BatchNorm: in the SlowFast repository it has, in PyTorchVideo it has not.
      pool_size: side in pixels of the squares that are classified one by one, 32 pixels apart, where clips are larger.
        None averages the features of the whole frame.
      pool_average: what is averaged over these squares, probabilities or logits.
      motion_module: what stands before the first convolution of each block; see `motion_vit.modules.motion_module`.
      frozen_batch_norm: BatchNorms that training leaves as they are: "none", all but the one of the stem
        ("all_but_first") or "all". Those of motion modules, which start anew, are trained.
      stochastic_depth: probability of skipping the last block's residual branch; rises linearly from 0 at the first.
      dropout: probability of dropping a feature before the classifier.
      batch_norm_groups: parts of a batch that BatchNorm normalises each by itself; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      remat: which activations of a block the backward pass finds kept: "none" is computed again, or only the outputs of
        convolutions that mix channels are kept ("matmuls"), or only the block's input ("blocks").
    """

    frames: int = 16
    widths: tuple[int, int, int, int] = option(scaled_widths(2.0), takes=one_a_stage(WIDTH))
    depths: tuple[int, int, int, int] = option(scaled_depths(2.2), takes=one_a_stage(STAGE_DEPTH))
    inner_ratio: float = option(2.25, takes=Number(1, 64))
    head_features: int = option(2048, takes=WIDTH)
    stride_norm: bool = False
    pool_size: int | None = option(None, takes=Either(NONE, IMAGE_SIDE))
    pool_average: PoolAverage = "probabilities"
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
          Logits in float32; where several squares of a frame are classified, as `pool_average` says the mean logits, or
          logarithms of the mean probabilities. With the collection `intermediates` mutable also the named
          intermediates: see `motion_vit.models.intermediates`.

        Raises:
          ValueError: clips of another rank or of whole numbers; frames that have become too small for a motion module,
            or another number of them than its parameters are for. In training, a batch that `batch_norm_groups` does
            not divide.
        """
        check_clips(clips)
        stem = X3DStem(
            self.widths[0],
            freeze_norm=self.frozen_batch_norm == "all",
            batch_norm_groups=self.batch_norm_groups,
            dtype=self.dtype,
            name="stem",
        )
        x = name_output(self, "stem_output", stem(clips.astype(self.dtype), train=train))
        for stage in range(4):
            x = self._stage(stage)(x, train=train)
        return self._classify(x, train)

    def inner_width(self, stage: int) -> int:
        """Returns the channels inside of a stage's blocks.

        Args:
          stage: from 0 to 3; 3 also for the last convolution, `conv5`.
        """
        return int(self.inner_ratio * self.widths[stage])

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: each block, the first one together with the stem, and the head with `conv5` and `fc1`."""
        blocks = [(stage, block) for stage, depth in enumerate(self.depths, start=1) for block in range(depth)]
        patterns = [rf"stage{stage}/block{block}/.*" for stage, block in blocks[1:]]
        return (r"(stem|stage1/block0)/.*", *patterns, r"(conv5|norm5|fc1|head)/.*")

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names scale and bias of frozen BatchNorms."""
        if self.frozen_batch_norm == "none":
            return ()
        inside = (r"stage\d/block\d+/(norm\d|shortcut_norm)/.*", r"norm5/.*")
        return (r"stem/norm/.*", *inside) if self.frozen_batch_norm == "all" else inside

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the features of an intermediate lie: at every `stride`-th pixel."""
        halvings = {"stem_output": 1, "features_output": 5}.get(name) or 1 + stage_of(name, r"stage([1-4])/.*")
        # Motion modules stand before the convolutions of a block, of which in a stage's first one has the stride.
        if re.match(r"stage[1-4]/block0/motion/", name):
            halvings -= 1
        frames, height, width, _ = clip_shape
        rows, columns = height, width
        for _ in range(halvings):
            rows, columns = -(-rows // 2), -(-columns // 2)
        return TokenLayout(frames, rows, columns, 2**halvings, 0.5, (height, width))

    def activation_layer(self) -> str:
        """Names the features whose average the head classifies; they exist where a frame is one square."""
        return "features_output"

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        problems = []
        if self.motion_module in PUBLISHED_MODULES and min(self.widths) < 8:
            problems.append(
                f"the widths are {self.widths}, but must be 8 or more with the motion module {self.motion_module}: it "
                "takes eighths of the channels"
            )
        if self.pool_average == "logits" and self.pool_size is None:
            problems.append(
                "pool_average is 'logits', but without pool_size there is one square, and nothing to average: set "
                "pool_size to the side of the training's crops, such as 224"
            )
        return problems

    def _stage(self, stage: int) -> Stage:
        rates = np.linspace(0, self.stochastic_depth, sum(self.depths)).tolist()
        first = sum(self.depths[:stage])
        return Stage(
            functools.partial(_make_block, self, stage),
            tuple(rates[first : first + self.depths[stage]]),
            remat=self.remat,
            name=f"stage{stage + 1}",
        )

    def _classify(self, x: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b classes"]:
        """Classifies the average features by a perceptron, or each square's of them."""
        init = initializers.residual_kernel
        x = FrameConvolution(self.inner_width(3), 1, kernel_init=init, dtype=self.dtype, name="conv5")(x)
        norm = BatchNorm(
            groups=self.batch_norm_groups, frozen=self.frozen_batch_norm != "none", dtype=self.dtype, name="norm5"
        )
        x = nn.relu(norm(x, train=train)).astype(jnp.float32)
        fc1 = FrameConvolution(self.head_features, 1, kernel_init=init, name="fc1")
        side = None if self.pool_size is None else -(-self.pool_size // _STRIDE)
        one_square = side is None or side >= max(x.shape[2:4])
        if one_square and self._is_looked_at():
            features = self._average_by_place(fc1(x))
        else:
            features = nn.relu(fc1(average_squares(jnp.mean(x, axis=1), side)[:, None]))[:, 0]
        features = nn.Dropout(self.dropout)(features, deterministic=not train)
        logits = Linear(self.num_classes, nn.initializers.normal(0.01), name="head")(features)
        if self.pool_average == "logits":
            return jnp.mean(logits, axis=(1, 2))
        return log_mean_probabilities(logits)

    def _is_looked_at(self) -> bool:
        """Tells if somebody wants the features by place, or changes them."""
        if self.is_initializing():
            return False
        by_hand = any(self.is_mutable_collection(kind) for kind in ("intermediates", "perturbations"))
        return by_hand or self.has_variable("perturbations", "features_output")

    def _average_by_place(self, hidden: Float[Array, "b t h w c"]) -> Float[Array, "b 1 1 c"]:
        """Computes the hidden features of the average as an average of features by place, which are named.

        The linear layer and the average can change places, and the ReLU behind them keeps or drops a channel of the
        whole clip.
        """
        kept = jnp.mean(hidden, axis=(1, 2, 3), keepdims=True) > 0
        features = name_output(self, "features_output", jnp.where(kept, hidden, 0.0))
        return jnp.mean(features, axis=1).mean(axis=(1, 2), keepdims=True)


def _make_block(model: X3D, stage: int, index: int, **binding: Any) -> X3DBlock:
    """Makes the block of an index of a stage (from 0); `binding` holds Linen's `name` and `parent`."""
    inner = model.inner_width(stage)
    return X3DBlock(
        inner,
        model.widths[stage],
        stride=2 if index == 0 else 1,
        excitation_features=0 if index % 2 else scaled_width(inner, _EXCITATION_SHARE),
        shortcut_norm=model.stride_norm,
        motion_module=model.motion_module,
        freeze_norm=model.frozen_batch_norm != "none",
        batch_norm_groups=model.batch_norm_groups,
        dtype=model.dtype,
        **binding,
    )
