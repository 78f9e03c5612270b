"""MViTv2, a vision transformer whose tokens become fewer and wider from stage to stage, by pooling in its attention.

Source: "MViTv2: Improved Multiscale Vision Transformers for Classification and Detection" (arXiv 2112.01526;
`slowfast/models/video_model_builder.py` and `attention.py` of facebookresearch/SlowFast, whose network
`torchvision.models.video.mvit_v2_s` repeats).
"""

import bisect
import functools
import math
import re
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from motion_vit.errors import UserError
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
from motion_vit.models.token_layout import TokenLayout, no_place
from motion_vit.models.video_model import Backbone
from motion_vit.modules import initializers
from motion_vit.modules.clip_convolution import ClipConvolution
from motion_vit.modules.initializers import LINEAR_KERNELS, Initialization
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.motion_module import make_motion_module
from motion_vit.modules.pooling_attention import Grid, PoolingAttention, pooled_grid
from motion_vit.modules.pooling_block import PoolingBlock
from motion_vit.ops import depthwise_conv3d, global_attention
from motion_vit.ranges import PROBABILITY, Items, Whole

_STEM_FRAMES, _STEM_SIZE = 3, 7
"""Frames, and rows and columns, that the stem spans."""

_STEM_TEMPORAL_STRIDE, _STEM_STRIDE = 2, 4
"""Distance of the tokens that it makes, in frames, and in rows and columns."""

_MOST_STAGES = 4


class MViT(Backbone):
    """A video classifier of transformer blocks in stages, with a class token.

    From one stage to the next, width and heads double and the patches of a frame become a quarter; frames stay. Keys
    and values are pooled further. `frames` and `image_size` decide the rows of the tables of relative positions; clips
    of another length or size take tables that are resized.

    Attributes:
      width: channels of a token in the first stage.
      depths: blocks of the stages, one to four.
      heads: attention heads in the first stage; divides the width.
      key_stride: distance of the rows, and columns, of keys and values in the first stage, in those of tokens. It is
        halved from stage to stage, rounded down to 1 at least, like the patches of a frame.
      mlp_ratio: hidden features of the perceptrons over channels.
      motion_module: what the patches pass before the attention of each block, after its normalisation; see
        `motion_vit.modules.motion_module`.
      batch_norm_groups: of the BatchNorms that some motion modules have; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      stochastic_depth: probability of skipping the last block's residual branches; rises linearly from 0 at the first.
      dropout: probability of dropping a feature before the classifier.
      initialization: how the kernels of blocks and of the head start: as "published", for the published widths, or by
        "fan_in", which narrower networks need to learn at once.
      remat: which activations of a block the backward pass finds kept; see `motion_vit.models.rematerialization`.
      scan_blocks: compile the blocks of a stage that are alike, all but its first, once, as a loop; see
        `motion_vit.models.stage.Stage`.
      attention_implementation: see `motion_vit.ops.global_attention.global_attention`.
      depthwise_implementation: of the pooling; see `motion_vit.ops.depthwise_conv3d.depthwise_conv3d`.
    """

    frames: int = 16
    width: int = option(96, takes=WIDTH)
    depths: tuple[int, ...] = option((1, 2, 11, 2), takes=Items(STAGE_DEPTH, 1, _MOST_STAGES, purpose="one a stage"))
    heads: int = option(1, takes=WIDTH)
    key_stride: int = option(8, takes=Whole(1, 256))
    mlp_ratio: float = option(4.0, takes=MLP_RATIO)
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
    depthwise_implementation: str | None = option(
        None, effect="implementation", takes=implementation(depthwise_conv3d.IMPLEMENTATIONS)
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
          ValueError: clips of another rank or of whole numbers; in training a batch that `batch_norm_groups` does not
            divide.
        """
        check_clips(clips)
        batch = clips.shape[0]
        patches = ClipConvolution(
            self.width,
            *(_STEM_FRAMES, _STEM_SIZE, _STEM_STRIDE, _STEM_TEMPORAL_STRIDE),
            use_bias=True,
            dtype=self.dtype,
            name="stem",
        )(clips)
        class_token = self.param("class_token", initializers.linear_kernel, (self.width,)).astype(self.dtype)
        class_token = jnp.broadcast_to(class_token.reshape(1, 1, self.width), (batch, 1, self.width))
        frames, rows, columns = patches.shape[1:4]
        x = jnp.concatenate([class_token, patches.reshape(batch, frames * rows * columns, self.width)], axis=1)
        x = name_output(self, "embedding_output", x)
        x = self._blocks((frames, rows, columns))(x, train=train)
        # After the last attention only the class token is read.
        features = lax.slice_in_dim(x, 0, 1, axis=1).reshape(batch, x.shape[2])
        features = name_output(self, "norm_output", LayerNorm(name="norm")(features))
        features = nn.Dropout(self.dropout)(features, deterministic=not train)
        return Linear(self.num_classes, LINEAR_KERNELS[self.initialization], name="head")(features)

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: stem and class token, each block, and the final normalisation with the head."""
        blocks = (rf"blocks/block{block}/.*" for block in range(sum(self.depths)))
        return (r"stem/.*|class_token", *blocks, r"(norm|head)/.*")

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the patches of an intermediate lie, which come after a class token.

        Windows of the stem and of all pooling are centred on the first frame, row and column of those that they span at
        a distance of their stride.
        """
        frames, height, width, _ = clip_shape
        found = re.fullmatch(r"embedding_output|blocks/block(\d+)(_output|/.*)", name)
        if found is None:
            raise no_place(name, "the features of a class token; those of patches are in the outputs of the blocks")
        strides = [_STEM_STRIDE]
        if found[1]:
            block, part = int(found[1]), found[2]
            strides += [2] * self._halvings(block)
            if part.startswith("/attention/key"):
                strides.append(self.key_stride_of(block))
            elif not part.startswith("/motion/"):
                strides.append(self.query_stride_of(block))
        rows, columns = height, width
        for stride in strides:
            rows, columns = -(-rows // stride), -(-columns // stride)
        return TokenLayout(
            frames=-(-frames // _STEM_TEMPORAL_STRIDE),
            rows=rows,
            columns=columns,
            stride=math.prod(strides),
            first_centre=0.5,
            seen=(height, width),
            temporal_stride=_STEM_TEMPORAL_STRIDE,
            class_tokens=1,
        )

    def activation_layer(self) -> str:
        """Refuses: there is no layer whose average the head classifies."""
        raise UserError(
            "an MViT has no class activation map: its classifier reads a class token, not an average over patches. Ask "
            "for Grad-CAM of one of its blocks but the last"
        )

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        if self.width % self.heads:
            return [f"heads is {self.heads}, but must divide the width, {self.width}"]
        return []

    def stage_of(self, block: int) -> int:
        """Returns the stage, from 0, of a block, whose number counts through all stages from 0."""
        return bisect.bisect_right(self._first_blocks(), block) - 1

    def query_stride_of(self, block: int) -> int:
        """Returns the distance of the rows, and columns, of a block's pooled queries in those of its tokens."""
        return 2 if block in self._first_blocks()[1:] else 1

    def key_stride_of(self, block: int) -> int:
        """Returns the same of a block's keys and values."""
        return max(self.key_stride // 2 ** self.stage_of(block), 1)

    def table_rows_of(self, block: int) -> Grid:
        """Returns the rows of a block's tables of relative positions: of frames, rows and columns.

        They are those of the authors, who round sizes down where convolutions round up.
        """
        size = self.image_size // (_STEM_STRIDE * 2 ** self._halvings(block))
        finest = max(size // self.query_stride_of(block), size // self.key_stride_of(block), 1)
        frames = max(self.frames // _STEM_TEMPORAL_STRIDE, 1)
        return 2 * frames - 1, 2 * finest - 1, 2 * finest - 1

    def _first_blocks(self) -> list[int]:
        """Lists the number of the first block of each stage."""
        return [sum(self.depths[:stage]) for stage in range(len(self.depths))]

    def _halvings(self, block: int) -> int:
        """Returns how often the rows of tokens were halved before a block."""
        return self.stage_of(block) - (self.query_stride_of(block) > 1)

    def _blocks(self, grid: Grid) -> Stage:
        """Makes the blocks for tokens of `grid`."""
        depth = sum(self.depths)
        # The first block of a stage is like none of the others.
        starts = [start + more for start in self._first_blocks() for more in (0, 1) if start + more < depth]
        return Stage(
            functools.partial(_make_block, self, grid),
            tuple(np.linspace(0, self.stochastic_depth, depth).tolist()),
            runs=tuple(sorted(set(starts))),
            scan_blocks=self.scan_blocks,
            remat=self.remat,
            name="blocks",
        )


def _make_block(model: MViT, grid: Grid, index: int, **binding: Any) -> PoolingBlock:
    """Makes the block of an index (from 0) for patches of `grid`; `binding` holds Linen's `name` and `parent`."""
    shared: dict[str, Any] = {"kernel_init": LINEAR_KERNELS[model.initialization], "dtype": model.dtype}
    stage = model.stage_of(index)
    for begun in range(index):
        grid = pooled_grid(grid, model.query_stride_of(begun))
    attention = PoolingAttention(
        features=model.width * 2**stage,
        heads=model.heads * 2**stage,
        grid=grid,
        query_stride=model.query_stride_of(index),
        key_stride=model.key_stride_of(index),
        table_rows=model.table_rows_of(index),
        implementation=model.attention_implementation,
        depthwise_implementation=model.depthwise_implementation,
        parent=None,  # adopted by the block, under the name of the field that holds it
        **shared,
    )
    motion = None
    if model.motion_module != "none":
        motion = make_motion_module(
            model.motion_module, batch_norm_groups=model.batch_norm_groups, dtype=model.dtype, parent=None
        )
    return PoolingBlock(attention, motion, model.mlp_ratio, **shared, **binding)
