"""Encodes frames into video files with PyAV: preserves small motions, and is fast to decode."""

import os
import pathlib
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
    _, height, width, _ = clip.shape
    if height % 2 or width % 2:
        raise UserError(
            f"cannot write the video {target}: 4:2:0 video needs an even height and width, given {height}x{width}; "
            "crop or pad the frames by one pixel"
        )
    codec, options = _ENCODERS[target.suffix]
    with atomic_path(target) as unfinished:
        try:
            with av.open(os.fspath(unfinished), "w", options=BIT_EXACT) as container:
                stream = container.add_stream(codec, rate=fps, options=options)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.gop_size = _KEYFRAME_INTERVAL
                stream.codec_context.thread_count = 1
                for picture in clip:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                container.mux(stream.encode(None))
        except av.error.FFmpegError as error:  # its name for what the system refuses
            raise OSError(error.errno, error.strerror) from error
