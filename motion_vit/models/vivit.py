"""ViViT: vision transformers on tubelets, in the four ways of its authors to attend over space and time.

Sources: "ViViT: A Video Vision Transformer" (arXiv 2103.15691; `projects/vivit/model.py` of google-research/scenic)
and, for the cost volumes, EMIM (arXiv 2510.18705). Cost volumes in these networks are this library's combination.
"""

import dataclasses
import functools
import re
from typing import Any

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
from motion_vit.models.option import option_defaults
from motion_vit.models.stage import Stage
from motion_vit.models.temporal_encoder import TemporalEncoder
from motion_vit.models.token_layout import TokenLayout, no_place, patch_layout
from motion_vit.models.video_model import Backbone
from motion_vit.models.vivit_blocks import make_block, make_temporal_block, of_every_attention, of_every_block
from motion_vit.models.vivit_options import ViViTOptions
from motion_vit.modules import initializers
from motion_vit.modules.attention_adapter import AttentionAdapter
from motion_vit.modules.bottleneck_adapter import BottleneckAdapter
from motion_vit.modules.emim_adapter import EmimAdapter
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.sequence_embedding import SequenceEmbedding
from motion_vit.modules.tubelet_embedding import TubeletProjection
from motion_vit.ops.adaptive_average_pool import adaptive_average_pool

_SPATIAL_PATTERN = r"(embedding|places|blocks|norm)/.*"
_OF_COST_VOLUMES = tuple(name for name in option_defaults(CostVolumeBackbone) if name not in option_defaults(Backbone))


class ViViT(ViViTOptions):
    """A video classifier of transformer blocks on tubelets; its fields are those of `ViViTOptions`."""

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
                x = self._blocks(_grid(tokens))(self._sequence("places", self.grid, tokens, train), train=train)
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
        x = self._sequence("places", (1, *self.grid[1:]), in_frames, in_training)
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
        grid = self._tokens_of_frame(self.grid[1:]) if grid is None else grid
        self._check_tokens(tokens, grid)
        tokens = tokens.astype(self.dtype)  # a file may hold them in fewer bits
        batch, frames, _, channels = tokens.shape
        x = name_output(self, "frames_output", self._adapted(tokens, grid, train))
        # Several tokens of a frame are at the same place in time.
        x = x.reshape(batch, frames, -1, 1, channels)
        of_frame = x.shape[2]
        x = self._sequence("temporal_places", (self.grid[0], 1, 1), x, train, output=None)
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
        if re.match(r"embedding_output|blocks/|adapter/", name) or (name == "norm_output" and self.has_clip_output):
            return layout
        raise no_place(name, "the features of a clip; those of tubelets are in the outputs of the blocks")

    def activation_layer(self) -> str:
        """Names the tokens whose average the head classifies.

        Raises:
          UserError: it classifies a class token, or what the temporal encoder makes of frames.
        """
        if self.has_clip_output:
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
        if not self.has_clip_output:
            raise UserError(
                f"a ViViT with attention={self.attention!r} and pooling={self.pooling!r} cannot split frames over "
                "devices: its tokens are sequences, not a grid of frames. Set the config field mesh.frames to 1, or "
                "choose pooling='mean' and another attention than 'factorised_encoder'."
            )
        split: ViViT = self.clone(frame_axis=axis)
        return split

    def _mean_of_clip(self, tokens: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b c"]:
        x = self._sequence("places", self.grid, tokens, train, output=None).reshape(tokens.shape)
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
            attention = make_emim(self, output_init=nn.initializers.zeros, **of_every_attention(self))
            pooled = pooled + EmimAdapter(attention, self.dtype, name="adapter")(patches, train=train)
        return pooled

    def _of_adapter(self) -> dict[str, Any]:
        of_block = of_every_block(self)
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
            functools.partial(make_block, self, grid), self.depth, "blocks", period=len(set(self.placement))
        )

    def _temporal_blocks(self, grid: tuple[int, int, int]) -> Stage:
        return self._stage(functools.partial(make_temporal_block, self, grid), self.temporal_depth, "temporal_blocks")

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
