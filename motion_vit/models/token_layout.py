"""Where in a clip the tokens of a named intermediate lie.

Places are measured in pixels of the clip, from the upper left corner of its first pixel: the pixel of row 0 reaches
from 0 to 1 and has its centre at 0.5.
"""

import dataclasses
import math
import re

from flax import linen as nn

from motion_vit.errors import UserError
from motion_vit.models.motion_prompted import EXTRA_FRAMES, MotionPrompted
from motion_vit.models.resnet import ResNet
from motion_vit.models.timesformer import TimeSformer
from motion_vit.models.uniformer import UniFormer

BACKBONE = "backbone/"
"""What the names of intermediates start with behind an input adapter."""

_PROMPT = "prompt/"


@dataclasses.dataclass(frozen=True)
class TokenLayout:
    """The tokens of an intermediate as a grid over the frames and pixels of a clip.

    Attributes:
      frames: frames of tokens.
      rows: rows of tokens.
      columns: columns of tokens.
      stride: distance of neighbouring tokens, in pixels.
      first_centre: distance of the centre of the first row, and column, of tokens from the clip's edge, in pixels: half
        a stride for patches, half a pixel for convolutions whose windows are centred on every `stride`-th pixel.
      seen: height and width of the part of the clip that the tokens are made of, in pixels, from the upper left corner.
        Patch embeddings leave out what is less than a patch.
      temporal_stride: distance of neighbouring frames of tokens, in frames of the clip.
      first_frame: frame of the clip that the first frame of tokens is of.
      class_tokens: tokens before those of the patches of a sequence.
    """

    frames: int
    rows: int
    columns: int
    stride: int
    first_centre: float
    seen: tuple[int, int]
    temporal_stride: int = 1
    first_frame: int = 0
    class_tokens: int = 0


def token_layout(model: nn.Module, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
    """The layout of the tokens of an intermediate.

    Args:
      model: a model of `motion_vit.create_model`.
      name: a name of `motion_vit.models.intermediates`; those that start with a block are of the block's tokens.
      clip_shape: frames, height, width and channels of the clips.

    Returns:
      The layout.

    Raises:
      UserError: the intermediate has no place, or the model is none of those that the library has.
    """
    frames, height, width, _ = clip_shape
    if isinstance(model, MotionPrompted):
        prompts = frames - EXTRA_FRAMES
        if name.startswith(_PROMPT):
            return TokenLayout(prompts, height, width, 1, 0.5, (height, width), first_frame=EXTRA_FRAMES)
        layout = token_layout(model.backbone, name.removeprefix(BACKBONE), (prompts, height, width, 3))
        return dataclasses.replace(layout, first_frame=EXTRA_FRAMES)
    if isinstance(model, UniFormer):
        return _uniformer_layout(model, name, frames, (height, width))
    if isinstance(model, TimeSformer):
        _check_timesformer(name)
        return dataclasses.replace(_patches(frames, (height, width), (model.patch_size,)), class_tokens=1)
    if isinstance(model, ResNet):
        return _resnet_layout(name, frames, (height, width))
    raise UserError(
        f"where the tokens of a {type(model).__name__} lie is not known; it is known of UniFormer, TimeSformer and "
        "ResNet, also behind motion prompts"
    )


def _uniformer_layout(model: UniFormer, name: str, frames: int, size: tuple[int, int]) -> TokenLayout:
    stage = 4 if name == "norm_output" else _stage_of(name, r"(?:patch_embed|stage)([1-4])[_/].*")
    layout = _patches(-(-frames // model.stem_temporal_stride), size, model.patch_sizes[:stage])
    return dataclasses.replace(layout, temporal_stride=model.stem_temporal_stride)


def _patches(frames: int, size: tuple[int, int], patch_sizes: tuple[int, ...]) -> TokenLayout:
    """The layout of patches of pixels, then of patches of those, and so on."""
    rows, columns = size
    for side in patch_sizes:
        rows, columns = rows // side, columns // side
    stride = math.prod(patch_sizes)
    return TokenLayout(frames, rows, columns, stride, stride / 2, (rows * stride, columns * stride))


def _check_timesformer(name: str) -> None:
    if not re.match(r"embedding_output|blocks/", name):
        raise _no_place(name, "the features of a class token; those of patches are in the outputs of the blocks")


def _resnet_layout(name: str, frames: int, size: tuple[int, int]) -> TokenLayout:
    stage = 1 if name == "stem_output" else _stage_of(name, r"stage([1-4])/.*")
    # Motion modules stand before the first convolution of a block, which in the first of a stage has the stride.
    if re.match(r"stage[2-4]/block0/motion/", name):
        stage -= 1
    stride = 2 ** (stage + 1)
    rows, columns = size
    for _ in range(stage + 1):
        rows, columns = -(-rows // 2), -(-columns // 2)
    return TokenLayout(frames, rows, columns, stride, 0.5, size)


def _stage_of(name: str, pattern: str) -> int:
    match = re.fullmatch(pattern, name)
    if match is None:
        raise _no_place(name, "what belongs to no stage")
    return int(match.group(1))


def _no_place(name: str, what: str) -> UserError:
    return UserError(f"{name!r} has no place in the frame: it names {what}. Choose a name that begins with a block.")
