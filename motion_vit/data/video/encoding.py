"""Encodes frames into video files with PyAV: preserves small motions, and is fast to decode."""

import contextlib
import fractions
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Literal

import av
import av.container
import av.error
import numpy as np
from jaxtyping import UInt8

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_path

# B-frames and loop filters cost decoding time and win little on short clips. x264's macroblock tree gives other bytes
# on other processors, and with AVX-512 now and then from one run to the next.
_H264 = {"crf": "18", "preset": "veryfast", "tune": "fastdecode", "bf": "0", "mbtree": "0", "movflags": "+faststart"}
# Suffix -> encoder and its options.
_ENCODERS: dict[str, tuple[Literal["libx264", "libvpx-vp9"], dict[str, str]]] = {
    ".mp4": ("libx264", _H264),
    ".webm": ("libvpx-vp9", {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
}
_KEYFRAME_INTERVAL = 12

WritePicture = Callable[[UInt8[np.ndarray, "h w 3"], float | None], None]
"""Encodes a picture; see `video_writer`."""

# The clock of MPEG streams, which all usual frame rates divide.
_TICK = fractions.Fraction(1, 90_000)

# 30000 / 1001 is such a rate.
_MOST_TICKS = 1001

VIDEO_SUFFIXES: tuple[str, ...] = tuple(_ENCODERS)
"""The file names that `write_video` knows how to write."""

BIT_EXACT = {"fflags": "bitexact"}
"""Options of a container to write: without them it has a random identity, and the same clip gives other bytes each
time."""


def write_video(path: str | os.PathLike[str], clip: UInt8[np.ndarray, "t h w 3"], *, fps: int = 24) -> None:
    """Encodes a clip: `.mp4` as H.264, `.webm` as VP9, both as 4:2:0 with a keyframe twice a second.

    Args:
      path: the file to write; it is replaced where it exists, and only ever seen complete.
      clip: the frames, RGB, of even height and width.
      fps: frames per second.

    Raises:
      UserError: the suffix is not one of `VIDEO_SUFFIXES`, or the clip's height or width is odd.
    """
    target = pathlib.Path(path)
    if target.suffix not in _ENCODERS:
        raise UserError(f"cannot write the video {target}: its name must end in one of {', '.join(VIDEO_SUFFIXES)}")
    if clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype != np.uint8 or 0 in clip.shape:
        raise UserError(
            f"cannot write the video {target}: expected frames as uint8 [T, H, W, 3], given {clip.dtype} {clip.shape}"
        )
    with video_writer(target, clip.shape[1], clip.shape[2], fps=fps) as write:
        for picture in clip:
            write(picture, None)


@contextlib.contextmanager
def video_writer(
    path: str | os.PathLike[str], height: int, width: int, *, fps: float, timed: bool = False
) -> Iterator[WritePicture]:
    """Encodes a video picture by picture, as `write_video` does.

    Args:
      path: the file to write, ending in one of `VIDEO_SUFFIXES`; it is only ever seen complete.
      height: even height of the pictures.
      width: even width of the pictures.
      fps: frames per second.
      timed: whether every picture comes with its time.

    Yields:
      A function that takes an RGB picture, uint8 `[h, w, 3]`, and the second at which it is shown, later than that of
      the picture before; None where pictures are evenly spaced.

    Raises:
      UserError: the suffix is another one, or the height or the width is odd.
    """
    target = pathlib.Path(path)
    if target.suffix not in _ENCODERS:
        raise UserError(f"cannot write the video {target}: its name must end in one of {', '.join(VIDEO_SUFFIXES)}")
    if height % 2 or width % 2:
        raise UserError(
            f"cannot write the video {target}: 4:2:0 video needs an even height and width, given {height}x{width}; "
            "crop or pad the frames by one pixel"
        )
    codec, options = _ENCODERS[target.suffix]
    with (
        atomic_path(target) as unfinished,
        _as_system_error(),
        av.open(os.fspath(unfinished), "w", options=BIT_EXACT) as container,
    ):
        rate = fractions.Fraction(fps).limit_denominator(_MOST_TICKS)
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = _KEYFRAME_INTERVAL
        stream.codec_context.thread_count = 1
        if timed:
            stream.codec_context.time_base = _TICK

        def write(picture: UInt8[np.ndarray, "h w 3"], seconds: float | None) -> None:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if seconds is not None:
                frame.time_base = _TICK
                frame.pts = round(seconds / _TICK)
            with _as_system_error():  # here, too: those who write may read another video, whose errors these are not
                container.mux(stream.encode(frame))

        yield write
        container.mux(stream.encode(None))


@contextlib.contextmanager
def _as_system_error() -> Iterator[None]:
    """Gives FFmpeg's errors of a file that is written their common name."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error
