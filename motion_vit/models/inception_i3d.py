"""I3D of Inception-V1: filters and pools of an image network, inflated over time.

Sources: "Quo vadis, action recognition?" (arXiv 1705.07750; `i3d.py` of deepmind/kinetics-i3d) and `pytorch_i3d.py` of
piergiaj/pytorch-i3d, which computes the same with padding written out.
"""

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from motion_vit.models.intermediates import name_output
from motion_vit.models.option import option
from motion_vit.models.option_ranges import BATCH_NORM_GROUPS, WIDTH, MotionModuleName
from motion_vit.models.rematerialization import Remat, rematerialized_module
from motion_vit.models.resnet import FrozenBatchNorm
from motion_vit.models.token_layout import TokenLayout, no_place
from motion_vit.models.video_model import Backbone
from motion_vit.modules import initializers
from motion_vit.modules.inception_block import ConvolutionUnit, MixedBlock, MixedWidths
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.modules.m2a import PUBLISHED_MODULES
from motion_vit.ops.max_pool import max_pool_clips
from motion_vit.ops.padding import edge_padding
from motion_vit.ranges import PROBABILITY, Items, Whole

_WIDTH = 64
"""Channels of the first convolution of the published network."""

_UNITS: Mapping[str, int] = {"stem": 64, "conv2b": 64, "conv2c": 192}
"""Published output channels of the convolutions before the blocks."""

_BLOCKS: Mapping[str, MixedWidths] = {
    "mixed3b": MixedWidths(64, 96, 128, 16, 32, 32),
    "mixed3c": MixedWidths(128, 128, 192, 32, 96, 64),
    "mixed4b": MixedWidths(192, 96, 208, 16, 48, 64),
    "mixed4c": MixedWidths(160, 112, 224, 24, 64, 64),
    "mixed4d": MixedWidths(128, 128, 256, 24, 64, 64),
    "mixed4e": MixedWidths(112, 144, 288, 32, 64, 64),
    "mixed4f": MixedWidths(256, 160, 320, 32, 128, 128),
    "mixed5b": MixedWidths(256, 160, 320, 32, 128, 128),
    "mixed5c": MixedWidths(384, 192, 384, 48, 128, 128),
}
"""Published output channels of the blocks, by the end points Mixed_3b to Mixed_5c."""


class _Reduction(NamedTuple):
    """A layer that makes clips smaller, by its window and stride in frames, rows and columns."""

    window: tuple[int, int, int]
    strides: tuple[int, int, int]


_POOLS: Mapping[str, _Reduction] = {
    "pool2": _Reduction((1, 3, 3), (1, 2, 2)),
    "pool3": _Reduction((1, 3, 3), (1, 2, 2)),
    "pool4": _Reduction((3, 3, 3), (2, 2, 2)),
    "pool5": _Reduction((2, 2, 2), (2, 2, 2)),
}
"""The pools, each before what has its number: MaxPool3d_2a_3x3 to MaxPool3d_5a_2x2."""

_REDUCTIONS = (_Reduction((7, 7, 7), (2, 2, 2)), *_POOLS.values())


class InceptionI3D(Backbone):
    """A classifier of clips by Inception-V1, whose convolutions and pools span frames as they span rows and columns.

    Everything is padded as TensorFlow's "same" does, so that sides and frames of any number are halved, rounded up.
    Features are averaged over windows of `pool_size` at every place, each average is classified, and the logits are the
    mean over windows.

    Its parameters do not depend on `image_size`, and on `frames` only with a motion module that has TAM.

    Attributes:
      width: channels of the first convolution; those of all others are to it as the published ones are to 64, rounded.
      pool_size: frames, rows and columns of features that are averaged before the classifier, at most as many as there
        are: an eighth of the clip's frames and a thirty-second of its rows and columns.
      motion_module: what stands before the two branches of each block that have 3x3x3 convolutions; see
        `motion_vit.modules.motion_module`.
      frozen_batch_norm: BatchNorms that training leaves as they are: "none", all but the first ("all_but_first") or
        "all". Those of motion modules, which start anew, are trained.
      dropout: probability of dropping an averaged feature of a window's frames before the classifier.
      batch_norm_groups: parts of a batch that BatchNorm normalises each by itself; see
        `motion_vit.modules.batch_norm.BatchNorm`.
      remat: which activations of a block the backward pass finds kept: "none" is computed again, or only the outputs of
        convolutions are kept ("matmuls"), or only the block's input ("blocks").
    """

    frames: int = 64
    width: int = option(_WIDTH, takes=WIDTH)
    pool_size: tuple[int, int, int] = option(
        (2, 7, 7), takes=Items(Whole(1, 16384), 3, 3, purpose="of frames, rows and columns")
    )
    motion_module: str = option("none", takes=MotionModuleName())
    frozen_batch_norm: FrozenBatchNorm = "none"
    dropout: float = option(0.0, effect="training", takes=PROBABILITY)
    batch_norm_groups: int = option(1, effect="training", takes=BATCH_NORM_GROUPS)
    remat: Remat = option("none", effect="execution", recipe_field="remat")

    @nn.compact
    def __call__(self, clips: Float[Array, "b t h w 3"], train: bool = False) -> Float[Array, "b classes"]:
        """Classifies clips.

        Args:
          clips: normalised clips; the published weights are of pixels from -1 to 1.
          train: whether BatchNorm uses the statistics of this batch and dropout is active. The collection `batch_stats`
            must then be mutable, and the RNG `dropout` given where its rate is above 0.

        Returns:
          Logits in float32. With the collection `intermediates` mutable also the named intermediates: see
          `motion_vit.models.intermediates`.

        Raises:
          ValueError: clips of another rank or of whole numbers; frames that have become too small for a motion module,
            or another number of them than its parameters are for. In training, a batch that `batch_norm_groups` does
            not divide.
        """
        check_clips(clips)
        x = self._unit("stem", clips.astype(self.dtype), 7, 2, train)
        x = self._pool("pool2", x)
        x = self._unit("conv2b", x, 1, 1, train)
        x = self._unit("conv2c", x, 3, 1, train)
        x = self._pool("pool3", x)
        for name in _BLOCKS:
            if name in ("mixed4b", "mixed5b"):
                x = self._pool(f"pool{name[5]}", x)
            x = self._block(name, x, train)
        return self._classify(x.astype(jnp.float32), train)

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers: each convolution before the blocks, each block, and the head."""
        return *(f"{name}/.*" for name in (*_UNITS, *_BLOCKS)), r"head/.*"

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names scale and bias of frozen BatchNorms."""
        if self.frozen_batch_norm == "none":
            return ()
        behind = r"(conv2[bc]|mixed\d[b-f]/b\d[ab]?)/norm/.*"
        return (r"stem/norm/.*", behind) if self.frozen_batch_norm == "all" else (behind,)

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the features of an intermediate lie: in the middle of what they are made of.

        Padding of one more behind than in front moves this middle to the end. Where rows and columns differ in it, as
        they can in frames that are not square, it is that of the rows.
        """
        found = re.fullmatch(r"(stem|features)_output|(?:pool|conv|mixed)([2-5]).*", name)
        if found is None:
            raise no_place(name, "what belongs to no layer")
        # End points are numbered by what has made the clip smaller before them.
        count = int(found[2] or {"stem": 1, "features": 5}[found[1]])
        length, height, width, _ = clip_shape
        frames, rows, columns = (_Axis(size).behind(axis, count) for axis, size in enumerate((length, height, width)))
        if name == "features_output":
            frames = frames.windows(self.pool_size[0])
        return TokenLayout(
            *(frames.size, rows.size, columns.size, rows.stride, rows.first + 0.5, (height, width)),
            temporal_stride=frames.stride,
            picked_frames=tuple(
                min(int(frames.first) + step * frames.stride, length - 1) for step in range(frames.size)
            ),
        )

    def activation_layer(self) -> str:
        """Names the features whose average the head classifies."""
        return "features_output"

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other."""
        # The first block reads 192 channels of 64, and all others more.
        if self.motion_module not in PUBLISHED_MODULES or self._channels(_UNITS["conv2c"]) >= 8:
            return []
        return [
            f"width is {self.width}, but must be 3 or more with the motion module {self.motion_module}: it takes "
            "eighths of a block's channels"
        ]

    def _channels(self, published: int) -> int:
        return max(1, (published * self.width + _WIDTH // 2) // _WIDTH)

    def _unit(self, name: str, x: Array, kernel_size: int, stride: int, train: bool) -> Array:
        unit = ConvolutionUnit(
            self._channels(_UNITS[name]),
            kernel_size,
            stride,
            freeze_norm=self.frozen_batch_norm == "all" or (self.frozen_batch_norm != "none" and name != "stem"),
            batch_norm_groups=self.batch_norm_groups,
            dtype=self.dtype,
            name=name,
        )
        return name_output(self, f"{name}_output", unit(x, train=train))

    def _pool(self, name: str, x: Array) -> Array:
        return name_output(self, f"{name}_output", max_pool_clips(x, *_POOLS[name]))

    def _block(self, name: str, x: Array, train: bool) -> Array:
        block = MixedBlock(
            MixedWidths(*map(self._channels, _BLOCKS[name])),
            motion_module=self.motion_module,
            freeze_norm=self.frozen_batch_norm != "none",
            batch_norm_groups=self.batch_norm_groups,
            dtype=self.dtype,
            name=name,
        )

        def apply(block: nn.Module, x: Array) -> Array:
            features: Array = block(x, train=train)
            return features

        return name_output(self, f"{name}_output", rematerialized_module(apply, self.remat)(block, x))

    def _classify(self, x: Float[Array, "b t h w c"], train: bool) -> Float[Array, "b classes"]:
        """Classifies the averages of all windows and averages the logits."""
        windows = name_output(self, "features_output", average_of_windows(x, self.pool_size))
        features = nn.Dropout(self.dropout)(jnp.mean(windows, axis=(2, 3)), deterministic=not train)
        classify = Linear(self.num_classes, initializers.fan_in_kernel, name="head")
        # The mean of the logits of all steps of time, which linear layer and mean give in either order.
        return classify(jnp.mean(features, axis=1))


def average_of_windows(x: Float[Array, "b t h w c"], size: tuple[int, int, int]) -> Float[Array, "b t2 h w c"]:
    """Averages features over windows at every place, and leaves rows and columns in their places.

    The mean over all windows of a frame is a mean over its places, each of which counts as often as windows have it. So
    only frames are averaged here, and places are weighted: the mean over a frame of the result is that over the
    windows, and maps of classes made of it have places.

    Args:
      x: features.
      size: frames, rows and columns of a window, at most as many as there are.

    Returns:
      Features of the `t2` places of a window in time.
    """
    for axis in (2, 3):
        shares = _shares(x.shape[axis], size[axis - 1])
        x = x * shares.reshape(*(1,) * axis, -1, *(1,) * (4 - axis))
    together = min(size[0], x.shape[1])
    steps = x.shape[1] - together + 1
    shifted = (lax.slice_in_dim(x, tap, tap + steps, axis=1) for tap in range(together))
    return functools.reduce(jnp.add, shifted) / together


class _Axis(NamedTuple):
    """Places of features along the frames, rows or columns of a clip, counted from 0.

    Attributes:
      size: number of features.
      first: place of the first one, of the middle of what it is made of.
      stride: distance of neighbours.
    """

    size: int
    first: float = 0
    stride: int = 1

    def behind(self, axis: int, count: int) -> "_Axis":
        """Returns the features behind the first `count` reductions; `axis` is 0 for frames, 1 for rows."""
        place = self
        for window, strides in _REDUCTIONS[:count]:
            side, stride = window[axis], strides[axis]
            front, _ = edge_padding(place.size, side, stride, "same")
            first = place.first + place.stride * ((side - 1) / 2 - front)
            place = _Axis(-(-place.size // stride), first, place.stride * stride)
        return place

    def windows(self, side: int) -> "_Axis":
        """Returns all windows of `side` neighbours, or of all of them where there are fewer."""
        side = min(side, self.size)
        return self._replace(size=self.size - side + 1, first=self.first + self.stride * (side - 1) / 2)


def _shares(size: int, side: int) -> Float[np.ndarray, " size"]:
    """Computes each place's weight in the mean of all windows of `side` places; their mean is 1."""
    windows = size - min(side, size) + 1
    counts = np.convolve(np.ones(windows), np.ones(size - windows + 1))
    return (counts / counts.mean()).astype(np.float32)
