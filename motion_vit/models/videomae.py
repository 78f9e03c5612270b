"""The video transformer of VideoMAE: a plain ViT on tubelets, some of whose attention may be cost volumes.

Sources: VideoMAE (arXiv 2203.12602; `modeling_finetune.py` of MCG-NJU/VideoMAE), VideoMAE V2 (arXiv 2303.16727;
`models/modeling_finetune.py` of OpenGVLab/VideoMAEv2, the same network) and, for the cost volumes, EMIM (arXiv
2510.18705). Cost volumes in this network are this library's combination.
"""

import dataclasses
import functools
import re
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.cost_volume_backbone import CostVolumeBackbone, make_emim
from motion_vit.models.frame_sharding import constrain_frames, splittable_operators
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
from motion_vit.models.token_encoder import TokenEncoder
from motion_vit.models.token_layout import TokenLayout, no_place, patch_layout
from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.average_norm import AverageNorm
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.initializers import LINEAR_KERNELS, Initialization, small_head_kernel, xavier_kernel
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.modules.tubelet_embedding import Positions, TubeletEmbedding
from motion_vit.ops import global_attention
from motion_vit.ranges import FRAMES, IMAGE_SIDE, NONE, PROBABILITY, Either, Number, Text

Placement = Literal["gg", "lg", "gl", "ll"]
"""Where EMIM stands among the blocks: "l" is EMIM, "g" global attention, alternating from the first block."""


class VideoMAE(CostVolumeBackbone):
    """A video classifier of equal transformer blocks on tubelets, without a class token.

    Every token of a clip attends to all others. With the fixed table of positions its parameters do not depend on
    `frames` and `image_size`. The options of EMIM are those of
    `motion_vit.models.cost_volume_backbone.CostVolumeBackbone`, of no effect with the placement "gg"; frames are then
    those of tubelets.

    Attributes:
      tubelet_frames: frames of a tubelet; divides `frames`.
      patch_size: height and width of a tubelet in pixels.
      width: channels of a token.
      depth: number of blocks.
      heads: attention heads; divides the width.
      mlp_ratio: hidden features of the perceptrons over channels.
      qkv_bias: whether queries and values have a bias; keys have none.
      norm_epsilon: what the LayerNorms of blocks add to the variance: 1e-6 in the authors' code, 1e-12 in transformers.
      head_norm_epsilon: what the one before the head adds: 1e-6 in the authors' code, 1e-5 in transformers.
      positions: how tokens know their places; see `motion_vit.modules.tubelet_embedding.Positions`.
      placement: which blocks have EMIM in the place of attention; see `Placement`.
      motion_module: what tokens pass before the attention of each block, after its normalisation; see
        `motion_vit.modules.motion_module`.
      batch_norm_groups: of the BatchNorms that some motion modules have; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      layer_scale: initial value of the residual scales of blocks; None leaves them out.
      stochastic_depth: probability of skipping the last block's residual branches; rises linearly from 0 at the first.
      dropout: probability of dropping a feature after the embedding, in perceptrons and after attention.
      initialization: how the kernels of blocks and of the head start: as "published", where the head starts at a
        thousandth of the others' scale, or by "fan_in", which narrower networks need to learn at once.
      remat: which activations of a block the backward pass finds kept; see `motion_vit.models.rematerialization`.
      scan_blocks: compile equal blocks once, as a loop; see `motion_vit.models.stage.Stage`.
      frame_axis: axis of the mesh that frames of tubelets are split over; the model then runs under `jax.set_mesh`.
        None leaves them whole.
      attention_implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    frames: int = 16
    tubelet_frames: int = option(2, takes=FRAMES)
    patch_size: int = option(16, takes=IMAGE_SIDE)
    width: int = option(768, takes=WIDTH)
    depth: int = option(12, takes=DEPTH)
    heads: int = option(12, takes=WIDTH)
    mlp_ratio: float = option(4.0, takes=MLP_RATIO)
    qkv_bias: bool = True
    norm_epsilon: float = option(1e-6, takes=NORM_EPSILON)
    head_norm_epsilon: float = option(1e-6, takes=NORM_EPSILON)
    positions: Positions = "sinusoid"
    placement: Placement = "gg"
    motion_module: str = option("none", takes=MotionModuleName())
    batch_norm_groups: int = option(1, effect="training", takes=BATCH_NORM_GROUPS)
    # What it starts at; whether it is there, weights say.
    layer_scale: float | None = option(None, effect="training", takes=Either(NONE, Number(0, 1000)))
    stochastic_depth: float = option(0.0, effect="training", takes=PROBABILITY)
    dropout: float = option(0.0, effect="training", takes=PROBABILITY)
    initialization: Initialization = option("published", effect="training")
    remat: Remat = option("none", effect="execution", recipe_field="remat")
    scan_blocks: bool = option(False, effect="execution", recipe_field="scan_blocks")
    frame_axis: str | None = option(None, effect="execution", recipe_field="mesh.frames", takes=Either(NONE, Text(100)))
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
          ValueError: clips of another rank or of whole numbers, smaller than a tubelet, or too few frames for a frame
            pair; in training a batch that `batch_norm_groups` does not divide.
          UserError: with a `frame_axis`, no mesh that has it, or frames of tubelets that its devices do not divide.
        """
        _check_clips(clips, self)
        with splittable_operators(self.frame_axis):
            x = self._embedding(name="embedding")(clips, train=train)
            if not self.is_initializing():
                x = constrain_frames(x, self.frame_axis)
            x = name_output(self, "embedding_output", x)
            x = self._blocks(LINEAR_KERNELS[self.initialization], name="blocks")(x, train=train)
            x = AverageNorm(self.head_norm_epsilon, name="fc_norm")(x)
            x = name_output(self, "norm_output", x)
            features = jnp.mean(x, axis=(1, 2, 3))
            published = self.initialization == "published"
            kernel_init = small_head_kernel if published else LINEAR_KERNELS[self.initialization]
            return Linear(self.num_classes, kernel_init, name="head")(features)

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: the embedding, each block, and the final normalisation with the head."""
        blocks = (rf"blocks/block{block}/.*" for block in range(self.depth))
        return (r"embedding/.*", *blocks, r"(fc_norm|head)/.*")

    def cost_volume_stages(self) -> tuple[str, ...]:
        """Names the blocks if some have cost volumes."""
        return ("blocks",) if "l" in self.placement[: self.depth] else ()

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the tubelets of an intermediate lie."""
        if not re.match(r"embedding_output|norm_output|blocks/", name):
            raise no_place(name, "nothing that is made of tubelets")
        frames, height, width, _ = clip_shape
        layout = patch_layout(frames // self.tubelet_frames, height, width, (self.patch_size,))
        return dataclasses.replace(layout, temporal_stride=self.tubelet_frames)

    def activation_layer(self) -> str:
        """Names the tokens whose average the head classifies."""
        return "norm_output"

    def with_frames_split(self, axis: str) -> "VideoMAE":
        """Makes the model split frames of tubelets over an axis of the mesh."""
        split: VideoMAE = self.clone(frame_axis=axis)
        return split

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        problems = []
        if self.frames % self.tubelet_frames:
            problems.append(f"frames is {self.frames}, but must be a multiple of tubelet_frames, {self.tubelet_frames}")
        if self.image_size < self.patch_size:
            problems.append(f"image_size is {self.image_size}, but must be at least patch_size, {self.patch_size}")
        if self.width % self.heads:
            problems.append(f"heads is {self.heads}, but must divide the width, {self.width}")
        return problems

    def token_encoder(self) -> TokenEncoder:
        """Gives the parts that masked autoencoding trains; the kernels start as the authors' pretraining has them.

        Raises:
          UserError: blocks have cost volumes or motion modules, which look for the neighbours of a token.
        """
        if self.cost_volume_stages() or self.motion_module != "none":
            raise UserError(
                f"masked autoencoding leaves tokens out, but with placement={self.placement!r} and "
                f"motion_module={self.motion_module!r} blocks look for the neighbours of each. Pretrain with "
                "placement='gg' and motion_module='none'."
            )
        published = self.initialization == "published"
        kernel_init = xavier_kernel if published else LINEAR_KERNELS[self.initialization]

        def make_blocks(width: int, depth: int, heads: int) -> Stage:
            smaller = self.clone(width=width, depth=depth, heads=heads, stochastic_depth=0.0)
            blocks: Stage = smaller._blocks(kernel_init, parent=None)
            return blocks

        return TokenEncoder(
            embedding=self._embedding(parent=None),
            blocks=self._blocks(kernel_init, parent=None),
            make_blocks=make_blocks,
            tubelet=(self.tubelet_frames, self.patch_size, self.patch_size),
            width=self.width,
            heads=self.heads,
            kernel_init=kernel_init,
            norm_epsilon=self.norm_epsilon,
            dtype=self.dtype,
            frame_axis=self.frame_axis,
        )

    def _embedding(self, **binding: Any) -> TubeletEmbedding:
        side = self.image_size // self.patch_size
        return TubeletEmbedding(
            self.width,
            (self.tubelet_frames, self.patch_size, self.patch_size),
            grid=(self.frames // self.tubelet_frames, side, side),
            positions=self.positions,
            dropout=self.dropout,
            dtype=self.dtype,
            **binding,
        )

    def _blocks(self, kernel_init: nn.initializers.Initializer, **binding: Any) -> Stage:
        return Stage(
            functools.partial(_make_block, self, kernel_init),
            tuple(np.linspace(0, self.stochastic_depth, self.depth).tolist()),
            period=len(set(self.placement)),
            scan_blocks=self.scan_blocks,
            remat=self.remat,
            frame_axis=self.frame_axis,
            **binding,
        )


def _make_block(model: VideoMAE, kernel_init: nn.initializers.Initializer, index: int, **binding: Any) -> nn.Module:
    """Makes the block of an index (from 0); `binding` holds Linen's `name` and `parent`."""
    return AttentionBlock(
        _make_attention(model, kernel_init, index),
        position_encoding=False,
        motion_module=model.motion_module,
        mlp_ratio=model.mlp_ratio,
        layer_scale=model.layer_scale,
        dropout=model.dropout,
        kernel_init=kernel_init,
        dtype=model.dtype,
        batch_norm_groups=model.batch_norm_groups,
        norm_epsilon=model.norm_epsilon,
        **binding,
    )


def _make_attention(model: VideoMAE, kernel_init: nn.initializers.Initializer, index: int) -> Emim | GlobalAttention:
    shared: dict[str, Any] = {
        "heads": model.heads,
        "biases": "query_value" if model.qkv_bias else "none",
        "dropout": model.dropout,
        "kernel_init": kernel_init,
        "dtype": model.dtype,
        "parent": None,  # adopted by the block, under the name of the field that holds it
    }
    if model.placement[index % 2] == "g":
        return GlobalAttention(implementation=model.attention_implementation, **shared)
    return make_emim(model, keep_frames=model.frame_axis is not None, **shared)


def _check_clips(clips: Array, model: VideoMAE) -> None:
    check_clips(clips)
    if min(clips.shape[2:4]) < model.patch_size:
        raise ValueError(
            f"expected clips of at least {model.patch_size} x {model.patch_size} pixels (a tubelet), "
            f"got {clips.shape[2:4]}"
        )
    least = model.tubelet_frames * (1 + model.frame_offset) if model.cost_volume_stages() else model.tubelet_frames
    if clips.shape[1] < least:
        why = "that a tubelet has a neighbour in time" if model.cost_volume_stages() else "that there is a tubelet"
        raise ValueError(f"expected at least {least} frames, so {why}, got {clips.shape[1]}")
