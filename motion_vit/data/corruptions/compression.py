"""Compression to few bits: JPEG frame by frame, and H.265 over time."""

import bisect
import fractions
from typing import Any

import av
import av.codec.context
import av.packet
import cv2
import numpy as np
from jaxtyping import UInt8

from motion_vit.errors import UserError

Clip = UInt8[np.ndarray, "t h w 3"]

_QUALITIES = (25, 18, 15, 10, 7)
"""Of ImageNet-C (Hendrycks and Dietterich, ICLR 2019, arXiv 1903.12261)."""
_DIVISORS = (2, 4, 8, 16, 32)
"""Of Yi et al. (NeurIPS 2021, arXiv 2110.06513): what the bit rate of the video is divided by."""

_ENCODER = "libx265"
_FINEST, _COARSEST = 18, 51
"""Quantisation parameters of what stands for the original, in which one sees no difference, and of the fewest bits."""
_LEAST_SIDE, _SIDE_UNIT = 64, 16
# One thread, so that the same frames give the same bytes. The encoder's block tree writes outside of its memory where
# frames are smaller than 64 pixels.
_SETTINGS = "pools=none:frame-threads=1:wpp=0:bframes=0:cutree=0:info=0:log-level=none"


def jpeg_compression(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Encodes every frame as JPEG and decodes it.

    Args:
      clip: the frames.
      severity: from 1 to 5.
      rng: unused; nothing is drawn.

    Returns:
      A new clip.
    """
    del rng
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITIES[severity - 1]]
    decoded = np.empty(clip.shape, np.uint8)
    for source, target in zip(clip, decoded, strict=True):
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(source, cv2.COLOR_RGB2BGR), quality)
        picture: Any = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        cv2.cvtColor(picture, cv2.COLOR_BGR2RGB, dst=target)
    return decoded


def h265_abr(clip: Clip, severity: int, rng: np.random.Generator) -> Clip:
    """Encodes a clip as H.265 with a fraction of the bits, and decodes it.

    Frames do not tell the bit rate of the video that they are from: an encoding in which one sees no difference stands
    for it. The rate control of encoders takes longer than a clip to settle, so that the finest constant quantisation is
    searched whose bits do not exceed the fraction. Where the coarsest has more, it is taken.

    Args:
      clip: the frames, taken for successive ones of a video.
      severity: from 1 to 5.
      rng: unused; nothing is drawn.

    Returns:
      A new clip.

    Raises:
      UserError: this build of PyAV has no H.265 encoder.
    """
    del rng
    check_h265()
    height, width = clip.shape[1:3]
    below, right = (max(_LEAST_SIDE, -(-side // _SIDE_UNIT) * _SIDE_UNIT) - side for side in (height, width))
    padded = np.pad(clip, [(0, 0), (0, below), (0, right), (0, 0)], "edge")
    allowed = _bits(_encode(padded, _FINEST)) / _DIVISORS[severity - 1]
    finest = bisect.bisect_left(
        range(_FINEST, _COARSEST), True, key=lambda quantisation: _bits(_encode(padded, quantisation)) <= allowed
    )
    return _decode(_encode(padded, _FINEST + finest))[:, :height, :width]


def check_h265() -> None:
    """Checks that H.265 can be encoded.

    Raises:
      UserError: this build of PyAV has no encoder of it.
    """
    if _ENCODER not in av.codecs_available:
        raise UserError(
            f"the corruption h265_abr needs FFmpeg's encoder {_ENCODER}, which this build of PyAV ({av.__version__}) "
            "lacks. Install the wheel of PyPI (pip install av), or leave the corruption out."
        )


def _encode(clip: Clip, quantisation: int) -> list[av.packet.Packet]:
    """Encodes a clip, whose sides the encoder must be able to take, with one quantisation for all of it."""
    context: Any = av.codec.context.CodecContext.create(_ENCODER, "w")
    context.height, context.width, context.pix_fmt = clip.shape[1], clip.shape[2], "yuv420p"
    context.framerate, context.time_base = fractions.Fraction(25), fractions.Fraction(1, 25)
    context.options = {"preset": "ultrafast", "x265-params": f"{_SETTINGS}:qp={quantisation}"}
    packets: list[av.packet.Packet] = []
    for number, picture in enumerate(clip):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, context.time_base
        packets += context.encode(frame)
    packets += context.encode(None)
    return packets


def _decode(packets: list[av.packet.Packet]) -> Clip:
    context: Any = av.codec.context.CodecContext.create("hevc", "r")
    context.thread_count = 1
    frames = [frame for packet in packets for frame in context.decode(packet)] + context.decode(None)
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def _bits(packets: list[av.packet.Packet]) -> int:
    return 8 * sum(packet.size for packet in packets)
