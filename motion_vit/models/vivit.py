"""ViViT: vision transformers on tubelets, in the four ways of its authors to attend over space and time.

Sources: "ViViT: A Video Vision Transformer" (arXiv 2103.15691; `projects/vivit/model.py` of google-research/scenic)
and, for the cost volumes, EMIM (arXiv 2510.18705). Cost volumes in these networks are this library's combination.
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
from motion_vit.models.frame_encoder import FrameEncoder
from motion_vit.models.frame_sharding import constrain_frames, splittable_operators
from motion_vit.models.intermediates import name_output
from motion_vit.models.option import option, option_defaults
from motion_vit.models.option_ranges import (
    BATCH_NORM_GROUPS,
    DEPTH,
    MLP_RATIO,
    WIDTH,
    MotionModuleName,
    implementation,
)
from motion_vit.models.rematerialization import Remat
from motion_vit.models.stage import Stage
from motion_vit.models.temporal_encoder import TemporalEncoder
from motion_vit.models.token_layout import TokenLayout, no_place, patch_layout
from motion_vit.models.video_model import Backbone
from motion_vit.models.videomae import Placement
from motion_vit.modules import initializers
from motion_vit.modules.attention_adapter import AttentionAdapter
from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.bottleneck_adapter import BottleneckAdapter
from motion_vit.modules.emim import Emim
from motion_vit.modules.emim_adapter import EmimAdapter
from motion_vit.modules.factorised_attention import FactorisedAttention
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.initializers import Initialization
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.motion_module import make_motion_module
from motion_vit.modules.sequence_embedding import SequenceEmbedding
from motion_vit.modules.space_time_blocks import FactorisedAttentionBlock, JointAttentionBlock
from motion_vit.modules.tubelet_embedding import TubeletProjection
from motion_vit.ops import global_attention
from motion_vit.ops.adaptive_average_pool import adaptive_average_pool
from motion_vit.ranges import FRAMES, IMAGE_SIDE, NONE, PROBABILITY, Choice, Either, Text, Whole

AttentionScheme = Literal["joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
"""Which tokens see each other, models 1 to 4 of the paper: all of a clip; those of a frame, and then what a second,
temporal encoder makes of the frames; in every block those of a frame and those of a place; or in every block half of
the heads those of a place, the other half those of a frame."""

AttentionOrder = Literal["space_time", "time_space"]
"""Which attention of a block of "factorised_self_attention" comes first."""

TemporalAttention = Literal["global", "cost_volume"]
"""What a tubelet sees in other frames: the same place in all of them, or its neighbourhood in the next one (EMIM)."""

Pooling = Literal["class_token", "mean"]
"""What an encoder hands on: its class token, or, without one, the mean of its tokens."""

Frozen = Literal["none", "spatial"]
"""What training leaves as it is."""

Adapter = Literal["none", "bottleneck", "attention", "emim"]
"""What stands between the encoders of "factorised_encoder": nothing, a perceptron on what the spatial one hands on,
learned queries that look at all tokens of a frame, or cost volumes between the tokens of neighbouring frames."""

_SPATIAL_PATTERN = r"(embedding|places|blocks|norm)/.*"
_OF_COST_VOLUMES = tuple(name for name in option_defaults(CostVolumeBackbone) if name not in option_defaults(Backbone))


class ViViT(CostVolumeBackbone):
    """A video classifier of transformer blocks on tubelets.

    `frames` and `image_size` decide the entries of its tables of places; clips of another length or size take the
    nearest entries. The options of EMIM are those of `motion_vit.models.cost_volume_backbone.CostVolumeBackbone`, of no
    effect without cost volumes; frames are then those of tubelets.

    Attributes:
      tubelet_frames: frames of a tubelet; divides `frames`.
      patch_size: height and width of a tubelet in pixels.
      width: channels of a token.
      depth: number of blocks; of "factorised_encoder" those of the spatial encoder.
      temporal_depth: blocks of the temporal encoder of "factorised_encoder".
      heads: attention heads; divides the width. For "factorised_dot_product" it is even.
      mlp_ratio: hidden features of the perceptrons over channels.
      attention: which tokens see each other; see `AttentionScheme`.
      attention_order: see `AttentionOrder`.
      pooling: what encoders hand on; see `Pooling`. A class token is one of a sequence, which "joint" and
        "factorised_encoder" have.
      frame_pool: rows and columns that the patches of a frame are averaged to after the spatial encoder of
        "factorised_encoder", so that adapters see, and files of features hold, fewer tokens; 0 leaves them.
      temporal_attention: what the attention over time of "factorised_self_attention" is; see `TemporalAttention`.
      placement: which blocks of "joint" and of the spatial encoder have EMIM in the place of attention; see
        `motion_vit.models.videomae.Placement`. A class token takes no part in it.
      motion_module: what tubelets pass before the first attention of each block, after its normalisation, but for those
        of the temporal encoder; see `motion_vit.modules.motion_module`.
      batch_norm_groups: of the BatchNorms that some motion modules have; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      frozen: whether training leaves the "spatial" encoder of "factorised_encoder" as it is, with all before it. It
        then computes in training what it does in evaluation.
      adapter: what changes the tokens of frames for the temporal encoder; see `Adapter`. Each starts without effect.
        "emim" takes the options of EMIM.
      adapter_queries: learned queries of the adapter "attention", each of which gives the temporal encoder a token for
        every frame.
      adapter_ratio: hidden features of the adapter "bottleneck" over channels.
      stochastic_depth: probability of skipping the last block's residual branches; rises linearly from 0 at the first,
        in either encoder.
      dropout: probability of dropping a feature after the embeddings, in perceptrons and after attention.
      initialization: how the kernels of blocks and of the head start: as "published", where the head starts at zero, or
        by "fan_in", which narrower networks need to learn at once.
      remat: which activations of a block the backward pass finds kept; see `motion_vit.models.rematerialization`.
      scan_blocks: compile equal blocks once, as a loop; see `motion_vit.models.stage.Stage`.
      frame_axis: axis of the mesh that frames of tubelets are split over; the model then runs under `jax.set_mesh`.
        None leaves them whole.
      attention_implementation: see `motion_vit.ops.global_attention.global_attention`.
    """

    frames: int = 32
    tubelet_frames: int = option(2, takes=FRAMES)
    patch_size: int = option(16, takes=IMAGE_SIDE)
    width: int = option(768, takes=WIDTH)
    depth: int = option(12, takes=DEPTH)
    temporal_depth: int = option(4, takes=DEPTH)
    heads: int = option(12, takes=WIDTH)
    mlp_ratio: float = option(4.0, takes=MLP_RATIO)
    attention: AttentionScheme = "joint"
    attention_order: AttentionOrder = "space_time"
    pooling: Pooling = "class_token"
    frame_pool: int = option(0, takes=Either(Choice((0,)), IMAGE_SIDE))
    temporal_attention: TemporalAttention = "global"
    placement: Placement = "gg"
    motion_module: str = option("none", takes=MotionModuleName())
    batch_norm_groups: int = option(1, effect="training", takes=BATCH_NORM_GROUPS)
    frozen: Frozen = option("none", effect="training")
    adapter: Adapter = "none"
    adapter_queries: int = option(4, takes=Whole(1, 1024))
    adapter_ratio: float = option(0.25, takes=MLP_RATIO)
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
        if self.attention == "factorised_encoder":
            tokens = self.frame_tokens(clips, train)
            return self.classify_frame_tokens(tokens, train, _rows_and_columns(self, clips))
        _check_clips(clips, self)
        with splittable_operators(self.frame_axis):
            tokens = self._tubelets(clips)
            if self.pooling == "class_token":
                x = self._blocks(_grid(tokens))(self._sequence("places", self._grid, tokens, train), train=train)
                features = LayerNorm(name="norm")(lax.slice_in_dim(x, 0, 1, axis=1)).reshape(-1, self.width)
                features = name_output(self, "norm_output", features)
            else:
                features = self._mean_of_clip(tokens, train)
            return self._head(features)

    @nn.compact
    def frame_tokens(
        self, clips: Float[Array, "b t h w 3"], train: bool = False
    ) -> Float[Array, "b frames tokens width"]:
        """Encodes each frame of tubelets by itself: the spatial encoder of "factorised_encoder".

        `model.apply(variables, clips, method="frame_tokens")` calls it. With `frozen="spatial"` it computes in training
        what it does in evaluation, and passes no gradient, so that its tokens may as well come from a file.

        Args:
          clips: normalised clips.
          train: as of the model.

        Returns:
          The tokens after the normalisation of the encoder, in the dtype of the computation: with
          `pooling="class_token"` the class token, then those of the patches, row by row, or with `frame_pool` their
          averages. Frames are those of tubelets.

        Raises:
          UserError: `attention` is another than "factorised_encoder".
          ValueError: as of the model.
        """
        self._check_has_frame_tokens()
        _check_clips(clips, self)
        is_frozen = self.frozen == "spatial"
        in_training = train and not is_frozen
        tokens = self._tubelets(clips)
        batch, frames, rows, columns, channels = tokens.shape
        in_frames = tokens.reshape(batch * frames, 1, rows, columns, channels)
        x = self._sequence("places", (1, *self._grid[1:]), in_frames, in_training)
        x = self._blocks((frames, rows, columns))(x, train=in_training)
        x = LayerNorm(output_dtype=self.dtype, name="norm")(x).reshape(batch, frames, -1, channels)
        x = self._averaged(x, (rows, columns))
        # In training alone: visualisation asks for gradients in front of the frozen part.
        return lax.stop_gradient(x) if train and is_frozen else x

    @nn.compact
    def classify_frame_tokens(
        self,
        tokens: Float[Array, "b frames tokens width"],
        train: bool = False,
        grid: tuple[int, int] | None = None,
    ) -> Float[Array, "b classes"]:
        """Classifies clips by the tokens of their frames: all of "factorised_encoder" after its spatial encoder.

        `model.apply(variables, tokens, method="classify_frame_tokens")` calls it.

        Args:
          tokens: of `frame_tokens`, of any number of frames.
          train: as of the model.
          grid: rows and columns of the tokens of a frame; by default those of `image_size`.

        Returns:
          Logits in float32.

        Raises:
          UserError: `attention` is another than "factorised_encoder".
          ValueError: tokens of another shape.
        """
        self._check_has_frame_tokens()
        grid = self._tokens_of_frame(self._grid[1:]) if grid is None else grid
        self._check_tokens(tokens, grid)
        tokens = tokens.astype(self.dtype)  # a file may hold them in fewer bits
        batch, frames, _, channels = tokens.shape
        x = name_output(self, "frames_output", self._adapted(tokens, grid, train))
        # Several tokens of a frame are at the same place in time.
        x = x.reshape(batch, frames, -1, 1, channels)
        of_frame = x.shape[2]
        x = self._sequence("temporal_places", (self._grid[0], 1, 1), x, train, output=None)
        x = self._temporal_blocks((frames, of_frame, 1))(x, train=train)
        features = jnp.mean(LayerNorm(name="temporal_norm")(self._handed_on(x)), axis=1)
        return self._head(name_output(self, "norm_output", features))

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: the embedding, each block, and the last normalisation with the head.

        Between the encoders of "factorised_encoder", the normalisation of the first, the adapter and the places of the
        second are a layer of their own.
        """
        blocks = (rf"blocks/block{block}/.*" for block in range(self.depth))
        if self.attention != "factorised_encoder":
            return (r"(embedding|places)/.*", *blocks, r"(norm|head)/.*")
        temporal = (rf"temporal_blocks/block{block}/.*" for block in range(self.temporal_depth))
        return (
            r"(embedding|places)/.*",
            *blocks,
            r"(norm|adapter|temporal_places)/.*",
            *temporal,
            r"(temporal_norm|head)/.*",
        )

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names the spatial encoder and what is before it, if they are frozen."""
        return (_SPATIAL_PATTERN,) if self.frozen == "spatial" else ()

    def frame_encoder(self) -> FrameEncoder:
        """Describes the spatial encoder of "factorised_encoder"."""
        self._check_has_frame_tokens()
        adapters = ("adapter", "adapter_queries", "adapter_ratio")
        # Without cost volumes of its own, those of the adapter are no matter of the encoder.
        emim = () if "blocks" in self.cost_volume_stages() else _OF_COST_VOLUMES
        return FrameEncoder(
            patterns=(_SPATIAL_PATTERN,),
            options_of_the_rest=("temporal_depth", *adapters, *emim),
            is_frozen=self.frozen == "spatial",
            how_to_freeze="frozen=spatial",
        )

    def temporal_encoder(self) -> TemporalEncoder | None:
        """Names the parameters of the second encoder of "factorised_encoder"."""
        if self.attention != "factorised_encoder":
            return None
        last = range(self.depth - self.temporal_depth, self.depth)
        return TemporalEncoder(
            blocks=tuple(f"temporal_blocks/block{block}/" for block in range(self.temporal_depth)),
            image_blocks=tuple(f"blocks/block{block}/" for block in last) if last.start >= 0 else (),
            times="temporal_places/place_embedding",
            class_tokens=int(self.pooling == "class_token"),
            norm="temporal_norm/",
            adapter="" if self.adapter == "none" else "adapter/",
        )

    def cost_volume_stages(self) -> tuple[str, ...]:
        """Names the blocks if some have cost volumes, and the adapter if it has."""
        in_blocks = self.temporal_attention == "cost_volume" or "l" in self.placement[: self.depth]
        return (*(("blocks",) if in_blocks else ()), *(("adapter",) if self.adapter == "emim" else ()))

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the tubelets of an intermediate lie; a token of the temporal encoder is of a whole frame."""
        frames, height, width, _ = clip_shape
        layout = patch_layout(frames // self.tubelet_frames, height, width, (self.patch_size,))
        layout = dataclasses.replace(
            layout, temporal_stride=self.tubelet_frames, class_tokens=int(self.pooling == "class_token")
        )
        if re.match(r"temporal_blocks/|frames_output", name):
            if self.adapter == "attention":
                raise no_place(name, "tokens of learned queries, which have none in the frame")
            side = max(layout.seen)
            layout = dataclasses.replace(layout, rows=1, columns=1, stride=side, first_centre=side / 2)
            return layout if name != "frames_output" else dataclasses.replace(layout, class_tokens=0)
        if re.match(r"embedding_output|blocks/|adapter/", name) or (name == "norm_output" and self._has_clip_output):
            return layout
        raise no_place(name, "the features of a clip; those of tubelets are in the outputs of the blocks")

    def activation_layer(self) -> str:
        """Names the tokens whose average the head classifies.

        Raises:
          UserError: it classifies a class token, or what the temporal encoder makes of frames.
        """
        if self._has_clip_output:
            return "norm_output"
        what = "a class token" if self.pooling == "class_token" else "features of frames"
        raise UserError(
            f"this ViViT has no class activation map: its classifier reads {what}, not an average over tubelets. Ask "
            "for Grad-CAM of one of its blocks, or take a model with pooling='mean' and one encoder"
        )

    def with_frames_split(self, axis: str) -> "ViViT":
        """Makes the model split frames of tubelets over an axis of the mesh.

        Raises:
          UserError: frames lie in one sequence with a class token, or are part of the batch.
        """
        if not self._has_clip_output:
            raise UserError(
                f"a ViViT with attention={self.attention!r} and pooling={self.pooling!r} cannot split frames over "
                "devices: its tokens are sequences, not a grid of frames. Set the config field mesh.frames to 1, or "
                "choose pooling='mean' and another attention than 'factorised_encoder'."
            )
        split: ViViT = self.clone(frame_axis=axis)
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
        if self.attention == "factorised_dot_product" and self.heads % 2:
            problems.append(f"heads is {self.heads}, but must be even: half of them attend over time")
        has_sequences = self.attention in ("joint", "factorised_encoder")
        if self.pooling == "class_token" and not has_sequences:
            problems.append(
                f"pooling is 'class_token', but attention is {self.attention!r}, whose tokens are a grid without a "
                "class token: it must be 'mean'"
            )
        if self.temporal_attention == "cost_volume" and self.attention != "factorised_self_attention":
            problems.append(
                f"temporal_attention is 'cost_volume', but attention is {self.attention!r}, which has no attention "
                "over time of its own: it must be 'factorised_self_attention'"
                + (", or placement 'lg' puts cost volumes into blocks" if has_sequences else "")
            )
        placement = self.placement[: self.depth]
        if "l" in placement and not has_sequences:
            problems.append(
                f"placement is {self.placement!r}, but attention is {self.attention!r}, whose blocks attend twice: it "
                "must be 'gg'"
            )
        if "g" not in placement and self.pooling == "class_token":
            problems.append(
                f"placement is {self.placement!r}, in which no block lets the class token see a tubelet: it must have "
                "a 'g', or pooling must be 'mean'"
            )
        if self.frame_pool and self.attention != "factorised_encoder":
            problems.append(
                f"frame_pool is {self.frame_pool}, but attention is {self.attention!r}, which has no encoder of its "
                "own for space: it must be 'factorised_encoder'"
            )
        if self.frame_pool > self.image_size // self.patch_size:
            problems.append(
                f"frame_pool is {self.frame_pool}, but must be at most {self.image_size // self.patch_size}, the "
                "patches along a side of a frame"
            )
        if self.frozen == "spatial" and self.attention != "factorised_encoder":
            problems.append(
                f"frozen is 'spatial', but attention is {self.attention!r}, which has no encoder of its own for space: "
                "it must be 'factorised_encoder'"
            )
        if self.adapter != "none" and self.attention != "factorised_encoder":
            problems.append(
                f"adapter is {self.adapter!r}, but attention is {self.attention!r}, which has no second encoder to "
                "stand before: it must be 'factorised_encoder'"
            )
        return problems

    @property
    def _has_clip_output(self) -> bool:
        """Tells if the head classifies the average of tokens on the grid of the clip."""
        return self.pooling == "mean" and self.attention != "factorised_encoder"

    @property
    def _grid(self) -> tuple[int, int, int]:
        """Frames, rows and columns of the tubelets of a clip that the model is meant for."""
        side = self.image_size // self.patch_size
        return self.frames // self.tubelet_frames, side, side

    def _mean_of_clip(self, tokens: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b c"]:
        x = self._sequence("places", self._grid, tokens, train, output=None).reshape(tokens.shape)
        if not self.is_initializing():
            x = constrain_frames(x, self.frame_axis)
        x = name_output(self, "embedding_output", x)
        x = LayerNorm(name="norm")(self._blocks(_grid(tokens))(x, train=train))
        return jnp.mean(name_output(self, "norm_output", x), axis=(1, 2, 3))

    def _tokens_of_frame(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the tokens of a frame that has patches in so many."""
        return (self.frame_pool, self.frame_pool) if self.frame_pool else grid

    def _averaged(self, x: Float[Array, "b t n c"], grid: tuple[int, int]) -> Float[Array, "b t m c"]:
        """Averages the patches of frames as `frame_pool` says; a class token stays in front."""
        if not self.frame_pool:
            return x
        class_tokens = int(self.pooling == "class_token")
        patches = lax.slice_in_dim(x, class_tokens, None, axis=2).reshape(*x.shape[:2], *grid, self.width)
        means = adaptive_average_pool(patches, self.frame_pool, self.frame_pool)
        means = means.reshape(*x.shape[:2], -1, self.width)
        return jnp.concatenate([lax.slice_in_dim(x, 0, class_tokens, axis=2), means], axis=2)

    def _adapted(
        self, tokens: Float[Array, "b t n c"], grid: tuple[int, int], train: bool
    ) -> Float[Array, "b t c"] | Float[Array, "b t m c"]:
        """Makes what the temporal encoder is given of each frame; without an adapter, what the spatial one hands on."""
        handed_on = self._handed_on(tokens)
        if self.adapter == "bottleneck":
            hidden = max(1, round(self.adapter_ratio * self.width))
            handed_on = BottleneckAdapter(hidden, **self._of_adapter(), name="adapter")(handed_on, train=train)
        pooled = jnp.mean(handed_on.astype(jnp.float32), axis=2).astype(self.dtype)
        if self.adapter == "attention":
            layer = AttentionAdapter(
                self.adapter_queries,
                self.heads,
                self.mlp_ratio,
                implementation=self.attention_implementation,
                **self._of_adapter(),
                name="adapter",
            )
            looked: Array = layer(tokens, pooled, train=train)
            return looked
        if self.adapter == "emim":
            # A class token has no place, and cost volumes compare places.
            patches = lax.slice_in_dim(tokens, tokens.shape[2] - grid[0] * grid[1], None, axis=2)
            patches = patches.reshape(*tokens.shape[:2], *grid, self.width)
            attention = make_emim(self, output_init=nn.initializers.zeros, **_of_every_attention(self))
            pooled = pooled + EmimAdapter(attention, self.dtype, name="adapter")(patches, train=train)
        return pooled

    def _of_adapter(self) -> dict[str, Any]:
        of_block = _of_every_block(self)
        return {name: of_block[name] for name in ("dropout", "kernel_init", "approximate_gelu", "dtype")}

    def _check_has_frame_tokens(self) -> None:
        if self.attention != "factorised_encoder":
            raise UserError(
                f"a ViViT with attention={self.attention!r} has no tokens of frames: its blocks join frames. Choose "
                "attention='factorised_encoder'."
            )

    def _check_tokens(self, tokens: Float[Array, "b frames tokens width"], grid: tuple[int, int]) -> None:
        class_tokens = int(self.pooling == "class_token")
        expected = class_tokens + grid[0] * grid[1]
        if tokens.ndim != 4 or tokens.shape[1] == 0 or tokens.shape[2:] != (expected, self.width):
            of_class = "a class token and " if class_tokens else ""
            raise ValueError(
                f"expected tokens of frames [batch, frames, {expected}, {self.width}], {of_class}{grid[0]} x {grid[1]} "
                f"patches of {self.width} channels, got {tokens.shape}"
            )

    def _tubelets(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b frames rows columns c"]:
        kernel_size = (self.tubelet_frames, self.patch_size, self.patch_size)
        tokens: Array = TubeletProjection(self.width, kernel_size, dtype=self.dtype, name="embedding")(clips)
        return tokens

    def _head(self, features: Float[Array, "b c"]) -> Float[Array, "b classes"]:
        published = self.initialization == "published"
        kernel_init = nn.initializers.zeros if published else initializers.fan_in_kernel
        logits: Array = Linear(self.num_classes, kernel_init, name="head")(features)
        return logits

    def _sequence(
        self, name: str, grid: tuple[int, int, int], tokens: Array, train: bool, output: str | None = "embedding_output"
    ) -> Float[Array, "b n c"]:
        class_token = self.pooling == "class_token"
        x: Array = SequenceEmbedding(grid, class_token, self.dropout, self.dtype, name=name)(tokens, train=train)
        return x if output is None else name_output(self, output, x)

    def _handed_on(self, x: Float[Array, "*batch n c"]) -> Float[Array, "*batch kept c"]:
        """Selects what an encoder hands on: its class token, or, without one, all tokens."""
        return lax.slice_in_dim(x, 0, 1, axis=-2) if self.pooling == "class_token" else x

    def _blocks(self, grid: tuple[int, int, int]) -> Stage:
        return self._stage(
            functools.partial(_make_block, self, grid), self.depth, "blocks", period=len(set(self.placement))
        )

    def _temporal_blocks(self, grid: tuple[int, int, int]) -> Stage:
        return self._stage(functools.partial(_make_temporal_block, self, grid), self.temporal_depth, "temporal_blocks")

    def _stage(self, make_block: Any, depth: int, name: str, period: int = 1) -> Stage:
        return Stage(
            make_block,
            tuple(np.linspace(0, self.stochastic_depth, depth).tolist()),
            period=period,
            scan_blocks=self.scan_blocks,
            remat=self.remat,
            frame_axis=self.frame_axis,
            name=name,
        )


def _grid(tokens: Float[Array, "b t h w c"]) -> tuple[int, int, int]:
    _, frames, rows, columns, _ = tokens.shape
    return frames, rows, columns


def _rows_and_columns(model: ViViT, clips: Float[Array, "b t h w 3"]) -> tuple[int, int]:
    """Counts the tokens of a frame along its height and its width."""
    return model._tokens_of_frame((clips.shape[2] // model.patch_size, clips.shape[3] // model.patch_size))


def _make_block(model: ViViT, grid: tuple[int, int, int], index: int, **binding: Any) -> nn.Module:
    """Makes the block of an index (from 0) for tubelets of `grid`; `binding` holds Linen's `name` and `parent`."""
    shared = _of_every_block(model) | binding
    attention: GlobalAttention | Emim | FactorisedAttention
    if model.attention in ("joint", "factorised_encoder"):
        attention = _make_attention(model) if model.placement[index % 2] == "g" else _make_emim(model)
        if not model._has_clip_output:
            class_tokens = int(model.pooling == "class_token")
            motion = _make_motion(model)
            return JointAttentionBlock(attention, grid=grid, class_tokens=class_tokens, motion=motion, **shared)
    elif model.attention == "factorised_self_attention":
        temporal = _make_attention(model) if model.temporal_attention == "global" else _make_emim(model)
        return FactorisedAttentionBlock(
            temporal,
            _make_attention(model),
            time_first=model.attention_order == "time_space",
            motion=_make_motion(model),
            **shared,
        )
    else:
        attention = FactorisedAttention(implementation=model.attention_implementation, **_of_every_attention(model))
    return AttentionBlock(
        attention,
        position_encoding=False,
        motion_module=model.motion_module,
        batch_norm_groups=model.batch_norm_groups,
        **shared,
    )


def _make_temporal_block(model: ViViT, grid: tuple[int, int, int], index: int, **binding: Any) -> JointAttentionBlock:
    """Makes a block of the temporal encoder, which are all alike."""
    class_tokens = int(model.pooling == "class_token")
    shared = _of_every_block(model) | binding
    return JointAttentionBlock(_make_attention(model), grid=grid, class_tokens=class_tokens, **shared)


def _of_every_block(model: ViViT) -> dict[str, Any]:
    published = model.initialization == "published"
    return {
        "mlp_ratio": model.mlp_ratio,
        "dropout": model.dropout,
        "kernel_init": initializers.xavier_kernel if published else initializers.fan_in_kernel,
        "approximate_gelu": True,
        "dtype": model.dtype,
    }


def _of_every_attention(model: ViViT) -> dict[str, Any]:
    published = model.initialization == "published"
    return {
        "heads": model.heads,
        "dropout": model.dropout,
        "kernel_init": initializers.xavier_attention_kernel if published else initializers.fan_in_kernel,
        "dtype": model.dtype,
        "parent": None,  # adopted by the block, under the name of the field that holds it
    }


def _make_attention(model: ViViT) -> GlobalAttention:
    return GlobalAttention(implementation=model.attention_implementation, **_of_every_attention(model))


def _make_emim(model: ViViT) -> Emim:
    return make_emim(model, keep_frames=model.frame_axis is not None, **_of_every_attention(model))


def _make_motion(model: ViViT) -> nn.Module | None:
    if model.motion_module == "none":
        return None
    return make_motion_module(
        model.motion_module, batch_norm_groups=model.batch_norm_groups, dtype=model.dtype, parent=None
    )


def _check_clips(clips: Array, model: ViViT) -> None:
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
