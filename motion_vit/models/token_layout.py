"""Places of the tokens of a named intermediate in a clip.

Places are measured in pixels of the clip, from the upper left corner of its first pixel: the pixel of row 0 reaches
from 0 to 1 and has its centre at 0.5.
"""

import dataclasses
import math
import re
from collections.abc import Sequence

from motion_vit.errors import UserError


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
      picked_frames: where frames of tokens are not evenly spaced: the frame of the clip, from `first_frame` on, that
        each is of. () for even ones.
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
    picked_frames: tuple[int, ...] = ()

    @property
    def clip_frames(self) -> tuple[int, ...]:
        """Frame of the clip that each frame of tokens is of."""
        picked = self.picked_frames or range(0, self.frames * self.temporal_stride, self.temporal_stride)
        return tuple(self.first_frame + frame for frame in picked)


def patch_layout(frames: int, height: int, width: int, patch_sizes: Sequence[int]) -> TokenLayout:
    """Lays out patches of pixels, patches of those, and so on.

    Args:
      frames: frames of tokens.
      height: height of the clip in pixels.
      width: width of the clip in pixels.
      patch_sizes: pixels, then tokens a side that are joined to one token.

    Returns:
      The layout of the last patches.
    """
    rows, columns = height, width
    for side in patch_sizes:
        rows, columns = rows // side, columns // side
    stride = math.prod(patch_sizes)
    return TokenLayout(frames, rows, columns, stride, stride / 2, (rows * stride, columns * stride))


def stage_of(name: str, pattern: str) -> int:
    """Reads the number of a stage off the name of an intermediate.

    Args:
      name: of an intermediate.
      pattern: matches names of what belongs to a stage, with the stage's number as its group.

    Raises:
      UserError: the pattern does not match.
    """
    match = re.fullmatch(pattern, name)
    if match is None:
        raise no_place(name, "what belongs to no stage")
    return int(match.group(1))


def no_place(name: str, what: str) -> UserError:
    """Makes the error for an intermediate that has no place in the frame.

    Args:
      name: of an intermediate.
      what: what it names.
    """
    return UserError(f"{name!r} has no place in the frame: it names {what}. Choose a name that begins with a block.")
