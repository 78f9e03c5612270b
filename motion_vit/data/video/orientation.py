"""The display matrix of a video file: the rotation and mirroring that turn a decoded frame upright."""

import dataclasses
import math

import av.buffer
import av.video.frame
import numpy as np
from jaxtyping import UInt8


@dataclasses.dataclass(frozen=True)
class Orientation:
    """The transposition and flips, in this order, that turn a stored picture upright.

    Attributes:
      transposed: whether rows become columns.
      flip_horizontal: whether left and right are exchanged after that.
      flip_vertical: whether top and bottom are exchanged after that.
    """

    transposed: bool = False
    flip_horizontal: bool = False
    flip_vertical: bool = False

    def apply(self, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """Turns a stored picture upright."""
        upright = picture.transpose(1, 0, 2) if self.transposed else picture
        return upright[:: -1 if self.flip_vertical else 1, :: -1 if self.flip_horizontal else 1]


def frame_orientation(frame: av.video.frame.VideoFrame) -> Orientation:
    """Reads the display matrix that comes with a frame (ISO/IEC 14496-12, 8.2.2; FFmpeg's `libavutil/display.h`).

    The matrix maps the stored (x, y) to the shown (a x + c y, b x + d y). Quarter turns and mirrorings are followed;
    other angles go to the nearest of these.

    Args:
      frame: a decoded frame.

    Returns:
      The orientation; that of an upright picture where the file has no matrix.
    """
    a, b, c, d = _display_matrix(frame)
    if abs(b) > abs(a):
        return Orientation(True, flip_horizontal=c < 0, flip_vertical=b < 0)
    return Orientation(False, flip_horizontal=a < 0, flip_vertical=d < 0)


def _display_matrix(frame: av.video.frame.VideoFrame) -> tuple[float, float, float, float]:
    """Reads (a, b, c, d) of the display matrix, up to a positive factor."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV lists no side data of a frame that has some of a kind that FFmpeg knows and PyAV does not. The rotation
        # alone it always tells, as the angle counterclockwise in degrees; a mirroring is lost.
        turn = -math.radians(frame.rotation)
        return math.cos(turn), math.sin(turn), -math.sin(turn), math.cos(turn)
    if not isinstance(matrix, av.buffer.Buffer):
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64).tolist()
    return a, b, c, d
