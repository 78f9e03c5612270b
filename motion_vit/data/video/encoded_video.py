"""Encoded clips: a video file, its bytes, or JPEG files of its frames."""

import dataclasses
import os


@dataclasses.dataclass(frozen=True)
class VideoBytes:
    """A whole video file in memory.

    Attributes:
      name: for messages.
      data: the bytes of the file, in any container and codec that FFmpeg reads.
    """

    name: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class JpegFrames:
    """A clip as one JPEG image per frame, as Something-Something V1 and Jester are published.

    Attributes:
      name: for messages.
      frames: the bytes of the JPEG or PNG files, in display order.
      fps: frames per second, which no picture file says; 0.0 if unknown.
    """

    name: str
    frames: tuple[bytes, ...]
    fps: float = 0.0


EncodedVideo = str | os.PathLike[str] | VideoBytes | JpegFrames
"""A path is a video file, or a folder of frames, in the order of `frame_files.order_frames`."""


def video_name(video: EncodedVideo) -> str:
    """Returns the name of a video for messages.

    Args:
      video: in any form.

    Returns:
      Its path or its name.
    """
    return video.name if isinstance(video, VideoBytes | JpegFrames) else os.fspath(video)
