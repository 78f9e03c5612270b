"""SlowFast, and the networks of a single pathway that it is compared with: Slow, C2D and I3D.

Sources: SlowFast (arXiv 1812.03982; `models/video_model_builder.py` and `resnet_helper.py` of
facebookresearch/SlowFast, whose networks `create_slowfast` and `create_resnet` of facebookresearch/pytorchvideo repeat)
and I3D as a ResNet (arXiv 1711.07971).
"""

import functools
import re
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from motion_vit.models.intermediates import name_output
from motion_vit.models.option import option
from motion_vit.models.option_ranges import BATCH_NORM_GROUPS, STAGE_DEPTH, WIDTH, MotionModuleName, one_a_stage
from motion_vit.models.rematerialization import Remat
from motion_vit.models.resnet import FrozenBatchNorm
from motion_vit.models.stage import Stage
from motion_vit.models.token_layout import TokenLayout, no_place
from motion_vit.models.video_model import Backbone
from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.clip_convolution import ClipConvolution
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.modules.m2a import PUBLISHED_MODULES
from motion_vit.modules.residual_block import ResidualBlock, ResidualStem
from motion_vit.ops.max_pool import max_pool_frame_pairs
from motion_vit.ops.square_classification import average_squares, log_mean_probabilities
from motion_vit.ranges import FRAMES, IMAGE_SIDE, NONE, PROBABILITY, Either, Whole

TemporalConvolutions = Literal["none", "late", "alternating"]
"""Which first convolutions span several frames: none (C2D), those of stages 3 and 4 (Slow), or from the stem on, in
stages 2 to 4 in every second block (I3D)."""

MotionPathways = Literal["both", "slow", "fast"]
"""Which pathways have the motion module."""

_STEM_FRAMES = 5
"""Frames that the stem of a Fast pathway, and that of I3D, spans."""

_BLOCK_FRAMES = 3
"""Frames that the first convolution of a block spans, where it spans several."""

_LATERAL_FEATURES = 2
"""Channels of a lateral connection over those of the Fast pathway."""

_STRIDE = 32
"""Pixels from one feature of the last stage to the next."""


class SlowFast(Backbone):
    """A classifier of two ResNets over time: one sees few frames and has most channels, the other sees all of them.

    What the Fast pathway finds goes into the Slow one by lateral connections, after the stem and after stages 1 to 3.
    Without a Fast pathway the network is a single ResNet over time. Nothing but `temporal_pool` strides over time.

    Its parameters do not depend on `image_size`, and on `frames` only with a motion module that has TAM.

    Attributes:
      widths: inner channels of the Slow pathway's blocks in the four stages; the first is that of the stem, too.
      depths: blocks of the four stages, in either pathway.
      fast_pathway: whether there is a Fast pathway; without one, the only pathway sees all frames.
      frame_ratio: frames of the Fast pathway over those of the Slow one (alpha); the latter are rounded up.
      channel_ratio: channels of the Slow pathway over those of the Fast one (1 / beta).
      lateral_kernel: frames that a lateral connection spans.
      temporal_convolutions: which blocks of the Slow or only pathway see motion; see `TemporalConvolutions`. In the
        Fast one all do.
      temporal_pool: whether the only pathway halves the frames after stage 1, by their maxima (C2D, I3D).
      pool_size: side in pixels of the squares that are classified one by one, 32 pixels apart, where clips are larger;
        their probabilities are averaged. None averages the features of the whole frame.
      motion_module: what stands before the first convolution of each block; see `motion_vit.modules.motion_module`.
      motion_pathways: which of two pathways have it.
      frozen_batch_norm: BatchNorms that training leaves as they are: "none", all but those of the stems
        ("all_but_first") or "all". Those of motion modules, which start anew, are trained.
      stochastic_depth: probability of skipping the last block's residual branch; rises linearly from 0 at the first.
      dropout: probability of dropping a feature before the classifier.
      batch_norm_groups: parts of a batch that BatchNorm normalises each by itself; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      remat: which activations of a block the backward pass finds kept: "none" is computed again, or only the outputs of
        convolutions are kept ("matmuls"), or only the block's input ("blocks").
    """

    frames: int = 32
    widths: tuple[int, int, int, int] = option((64, 128, 256, 512), takes=one_a_stage(WIDTH))
    depths: tuple[int, int, int, int] = option((3, 4, 6, 3), takes=one_a_stage(STAGE_DEPTH))
    fast_pathway: bool = True
    frame_ratio: int = option(8, takes=FRAMES)
    channel_ratio: int = option(8, takes=Whole(1, 1024))
    lateral_kernel: int = option(5, takes=Whole(1, 63, odd="it is centred on a frame"))
    temporal_convolutions: TemporalConvolutions = "late"
    temporal_pool: bool = False
    pool_size: int | None = option(None, takes=Either(NONE, IMAGE_SIDE))
    motion_module: str = option("none", takes=MotionModuleName())
    motion_pathways: MotionPathways = "both"
    frozen_batch_norm: FrozenBatchNorm = "none"
    stochastic_depth: float = option(0.0, effect="training", takes=PROBABILITY)
    dropout: float = option(0.0, effect="training", takes=PROBABILITY)
    batch_norm_groups: int = option(1, effect="training", takes=BATCH_NORM_GROUPS)
    remat: Remat = option("none", effect="execution", recipe_field="remat")

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w 3"], train: bool = False) -> Float[Array, "b classes"]:
        """Classifies clips.

        Args:
          clips: normalised clips, with all frames.
          train: whether BatchNorm uses the statistics of this batch and dropout and stochastic depth are active. The
            collection `batch_stats` must then be mutable, and the RNG `dropout` given where a rate is above 0.

        Returns:
          Logits in float32; where several squares of a frame are classified, logarithms of the mean probabilities. With
          the collection `intermediates` mutable also the named intermediates: see `motion_vit.models.intermediates`.

        Raises:
          ValueError: clips of another rank or of whole numbers; a single frame where they are halved; frames that have
            become too small for a motion module, or another number of them than its parameters are for. In training, a
            batch that `batch_norm_groups` does not divide.
        """
        check_clips(clips)
        if problem := self._frames_problem(clips.shape[1]):
            raise ValueError(problem)
        x = clips.astype(self.dtype)
        if not self.fast_pathway:
            x = self._stem("", x, train)
            for stage in range(4):
                x = self._stage("", stage)(x, train=train)
                if stage == 0 and self.temporal_pool:
                    x = name_output(self, "temporal_pool_output", max_pool_frame_pairs(x))
            return self._classify(x.astype(jnp.float32), train)
        slow = self._stem("slow_", pick_frames(x, slow_frames(x.shape[1], self.frame_ratio)), train)
        fast = self._stem("fast_", x, train)
        slow = self._connect("lateral_stem", slow, fast, train)
        for stage in range(4):
            slow = self._stage("slow_", stage)(slow, train=train)
            fast = self._stage("fast_", stage)(fast, train=train)
            if stage < 3:
                slow = self._connect(f"lateral_stage{stage + 1}", slow, fast, train)
        features = jnp.concatenate([slow.astype(jnp.float32), average_frames(fast, slow.shape[1])], axis=-1)
        return self._classify(name_output(self, "features_output", features), train)

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: each block, in both pathways, and the head.

        Returns:
          A pattern for each. The first block's has the stem, too, and the last one's of a stage the lateral connection
          behind it.
        """
        pathway = "(slow_|fast_)" if self.fast_pathway else ""
        patterns = []
        for stage, depth in enumerate(self.depths, start=1):
            for block in range(depth):
                parts = [f"{pathway}stage{stage}/block{block}"]
                parts += [f"{pathway}stem", "lateral_stem"] if stage == 1 and block == 0 else []
                parts += [f"lateral_stage{stage}"] if block == depth - 1 else []
                patterns.append(rf"({'|'.join(parts)})/.*")
        return (*patterns, r"head/.*")

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names scale and bias of frozen BatchNorms."""
        if self.frozen_batch_norm == "none":
            return ()
        stems = [r"(slow_|fast_)?stem/norm/.*"] if self.frozen_batch_norm == "all" else []
        laterals = [r"lateral_\w+/norm/.*"] if self.fast_pathway else []
        return (*stems, r"(slow_|fast_)?stage\d/block\d+/(norm\d|shortcut_norm)/.*", *laterals)

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the features of an intermediate lie: at every `stride`-th pixel, of the pathway's frames."""
        frames, height, width, _ = clip_shape
        stage = self._stage_of(name)
        rows, columns = height, width
        for _ in range(stage + 1):
            rows, columns = -(-rows // 2), -(-columns // 2)
        picked: tuple[int, ...] = ()
        temporal_stride = 1
        if self.fast_pathway and not name.startswith("fast_"):
            picked = slow_frames(frames, self.frame_ratio)
            frames = len(picked)
        elif self.temporal_pool and (stage > 1 or name.startswith(("temporal_pool", "stage2"))):
            frames, temporal_stride = frames // 2, 2
        return TokenLayout(
            *(frames, rows, columns, 2 ** (stage + 1), 0.5, (height, width)),
            temporal_stride=temporal_stride,
            picked_frames=picked,
        )

    def activation_layer(self) -> str:
        """Names the features whose average the head classifies."""
        return "features_output" if self.fast_pathway else f"stage4/block{self.depths[3] - 1}_output"

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        problems = [problem] if (problem := self._frames_problem(self.frames)) else []
        if self.fast_pathway and self.temporal_pool:
            problems.append(
                "temporal_pool is True, but only a network without a Fast pathway halves its frames: set "
                "fast_pathway=False beside it"
            )
        if self.fast_pathway and (odd := [width for width in self.widths if width % self.channel_ratio]):
            problems.append(f"channel_ratio is {self.channel_ratio}, but must divide the widths, such as {odd[0]}")
        if self.motion_module not in PUBLISHED_MODULES:
            return problems
        in_fast = self.fast_pathway and self.motion_pathways != "slow"
        narrow = tuple(self.width("fast_" if in_fast else "", stage) for stage in range(4))
        if min(narrow) < 8:
            problems.append(
                f"the widths of blocks with the motion module {self.motion_module} are {narrow}, but must be 8 or "
                "more: it takes eighths of the channels. Choose greater widths"
                + (", or motion_pathways='slow'" if in_fast else "")
            )
        return problems

    def width(self, pathway: str, stage: int) -> int:
        """Returns the inner channels of a stage's blocks.

        Args:
          pathway: `slow_`, `fast_`, or nothing for the only one.
          stage: from 0 to 3; 0 also for the stem.
        """
        return self.widths[stage] // (self.channel_ratio if pathway == "fast_" else 1)

    def kernel_frames(self, pathway: str, stage: int, block: int = 0) -> int:
        """Returns the frames that the first convolution of a block spans.

        Args:
          pathway: `slow_`, `fast_`, or nothing for the only one.
          stage: from 1 to 4; 0 for the stem.
          block: number of the block in its stage, from 0.
        """
        several = _BLOCK_FRAMES if stage else _STEM_FRAMES
        if pathway == "fast_":
            return several
        if self.temporal_convolutions == "alternating":
            # In the last stage, of three blocks, it is the one in the middle.
            return several if stage < 2 or block % 2 == (stage == 4) else 1
        return several if self.temporal_convolutions == "late" and stage >= 3 else 1

    def has_motion(self, pathway: str) -> bool:
        """Tells if the blocks of a pathway (`slow_`, `fast_`, or nothing for the only one) have the motion module."""
        return self.motion_module != "none" and (not pathway or self.motion_pathways in ("both", pathway.strip("_")))

    def _frames_problem(self, frames: int) -> str:
        """Says what is wrong with a number of frames; "" for nothing."""
        if self.temporal_pool and frames < 2:
            return f"the frames are halved (temporal_pool), which takes two or more, but there is {frames}"
        return ""

    def _stage_of(self, name: str) -> int:
        """Returns the number of the stage in whose resolution an intermediate lies."""
        if name == "features_output":
            return 4
        if name == "temporal_pool_output" or re.fullmatch(r"((slow_|fast_)?stem|lateral_stem)_output", name):
            return 1
        found = re.fullmatch(r"(?:slow_|fast_)?stage([1-4])/.*|lateral_stage([1-3])_output", name)
        if found is None:
            raise no_place(name, "what belongs to no stage")
        stage = int(found[1] or found[2])
        # Motion modules stand before the first convolution of a block, which in the first of a stage has the stride.
        return stage - 1 if stage > 1 and re.search(r"/block0/motion/", name) else stage

    def _stem(self, pathway: str, x: Array, train: bool) -> Array:
        stem = ResidualStem(
            self.width(pathway, 0),
            kernel_frames=self.kernel_frames(pathway, 0),
            freeze_norm=self.frozen_batch_norm == "all",
            batch_norm_groups=self.batch_norm_groups,
            dtype=self.dtype,
            name=f"{pathway}stem",
        )
        return name_output(self, f"{pathway}stem_output", stem(x, train=train))

    def _stage(self, pathway: str, stage: int) -> Stage:
        rates = np.linspace(0, self.stochastic_depth, sum(self.depths)).tolist()
        first = sum(self.depths[:stage])
        return Stage(
            functools.partial(_make_block, self, pathway, stage),
            tuple(rates[first : first + self.depths[stage]]),
            remat=self.remat,
            name=f"{pathway}stage{stage + 1}",
        )

    def _connect(self, name: str, slow: Array, fast: Array, train: bool) -> Array:
        """Puts what a lateral connection finds in the Fast pathway behind the channels of the Slow one."""
        lateral = LateralConnection(
            _LATERAL_FEATURES * fast.shape[-1],
            kernel_frames=self.lateral_kernel,
            temporal_stride=self.frame_ratio,
            freeze_norm=self.frozen_batch_norm != "none",
            batch_norm_groups=self.batch_norm_groups,
            dtype=self.dtype,
            name=name,
        )
        found = name_output(self, f"{name}_output", lateral(fast, train=train))
        return jnp.concatenate([slow, found], axis=-1)

    def _classify(self, features: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b classes"]:
        """Classifies the average features, or each square's of them."""
        side = None if self.pool_size is None else -(-self.pool_size // _STRIDE)
        features = average_squares(jnp.mean(features, axis=1), side)
        features = nn.Dropout(self.dropout)(features, deterministic=not train)
        return log_mean_probabilities(Linear(self.num_classes, nn.initializers.normal(0.01), name="head")(features))


class LateralConnection(nn.Module):
    """The features of a Fast pathway at the frames of a Slow one: a normalised convolution that strides over time.

    Attributes:
      features: output channels.
      kernel_frames: frames, an odd number, that it spans.
      temporal_stride: frames of the Fast pathway over those of the Slow one.
      freeze_norm: whether training leaves the BatchNorm as it is.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation.
    """

    features: int
    kernel_frames: int
    temporal_stride: int
    freeze_norm: bool = False
    batch_norm_groups: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, fast: Float[Array, "b t h w c"], *, train: bool = False) -> Float[Array, "b t2 h w c2"]:
        """Applies the layers to the features of the Fast pathway."""
        convolution = ClipConvolution(
            self.features,
            self.kernel_frames,
            temporal_stride=self.temporal_stride,
            kernel_init=initializers.residual_kernel,
            dtype=self.dtype,
            name="conv",
        )
        norm = BatchNorm(groups=self.batch_norm_groups, frozen=self.freeze_norm, dtype=self.dtype, name="norm")
        return nn.relu(norm(convolution(fast), train=train))


def slow_frames(frames: int, frame_ratio: int) -> tuple[int, ...]:
    """Lists the frames that the Slow pathway sees: evenly spread from the first to the last, as PySlowFast picks them.

    Where the ratio does not divide the frames, for which theirs has no answer, there are as many as the lateral
    connections give: one for each begun run of frames.

    Args:
      frames: frames of the clip.
      frame_ratio: so many times as many as the Slow pathway sees.

    Returns:
      Numbers of frames, from 0: rounded down, so that their distances differ by one.
    """
    count = -(-frames // frame_ratio)
    return tuple(step * (frames - 1) // max(count - 1, 1) for step in range(count))


def pick_frames(x: Float[Array, "b t *rest"], numbers: tuple[int, ...]) -> Float[Array, "b n *rest"]:
    """Takes some frames of clips.

    Args:
      x: clips.
      numbers: numbers of the frames, from 0.
    """
    # Slices and not one gather, which the runtimes of exported programs do slowly or not at all.
    return jnp.concatenate([lax.slice_in_dim(x, number, number + 1, axis=1) for number in numbers], axis=1)


def average_frames(x: Float[Array, "b t *rest"], count: int) -> Float[Array, "b count *rest"]:
    """Averages frames over equal parts of a clip; the mean of the parts is that of the frames.

    Args:
      x: clips.
      count: number of parts. Where it does not divide the frames, those on borders belong to two parts.

    Returns:
      An average for each part, in float32.
    """
    frames = x.shape[1]
    # Each frame is `count` pieces, and a part is `frames` pieces.
    part_of_piece = np.arange(frames * count) // frames
    shares = np.stack([(part_of_piece == part).reshape(frames, count).sum(axis=1) for part in range(count)]) / frames
    averages = jnp.tensordot(shares.astype(np.float32), x.astype(jnp.float32), (1, 1), precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(averages, 0, 1)


def _make_block(model: SlowFast, pathway: str, stage: int, index: int, **binding: Any) -> ResidualBlock:
    """Makes the block of an index of a stage (from 0); `binding` holds Linen's `name` and `parent`."""
    return ResidualBlock(
        model.width(pathway, stage),
        stride=2 if stage > 0 and index == 0 else 1,
        bottleneck=True,
        kernel_frames=model.kernel_frames(pathway, stage + 1, index),
        zero_scale=True,
        motion_module=model.motion_module if model.has_motion(pathway) else "none",
        freeze_norm=model.frozen_batch_norm != "none",
        batch_norm_groups=model.batch_norm_groups,
        dtype=model.dtype,
        **binding,
    )
