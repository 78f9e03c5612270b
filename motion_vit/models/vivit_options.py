"""The options of ViViT, and which of them go with each other."""

from typing import Literal

from motion_vit.models.cost_volume_backbone import CostVolumeBackbone
from motion_vit.models.option import option
from motion_vit.models.option_ranges import (
    BATCH_NORM_GROUPS,
    DEPTH,
    MLP_RATIO,
    WIDTH,
    MotionModuleName,
    implementation,
)
from motion_vit.models.rematerialization import Remat
from motion_vit.models.videomae import Placement
from motion_vit.modules.initializers import Initialization
from motion_vit.ops import global_attention
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


class ViViTOptions(CostVolumeBackbone):
    """The options of a ViViT; `option_problems` says which do not go with each other.

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

    @property
    def has_clip_output(self) -> bool:
        """Tells if the head classifies the average of tokens on the grid of the clip."""
        return self.pooling == "mean" and self.attention != "factorised_encoder"

    @property
    def grid(self) -> tuple[int, int, int]:
        """Frames, rows and columns of the tubelets of a clip that the model is meant for."""
        side = self.image_size // self.patch_size
        return self.frames // self.tubelet_frames, side, side

    def cost_volume_stages(self) -> tuple[str, ...]:
        """Names the blocks if some have cost volumes, and the adapter if it has."""
        in_blocks = self.temporal_attention == "cost_volume" or "l" in self.placement[: self.depth]
        return (*(("blocks",) if in_blocks else ()), *(("adapter",) if self.adapter == "emim" else ()))

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
