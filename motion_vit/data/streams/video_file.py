"""Takes frames from a video file, also from one that still grows, and from a container that the caller opened."""

import os
import threading
import time
from collections.abc import Generator
from typing import BinaryIO

import av.container
import av.error

from motion_vit.data.streams.decoded_frames import decoded_frames
from motion_vit.data.streams.timed_frame import TimedFrame
from motion_vit.data.video.accepted_formats import HEAD_BYTES
from motion_vit.data.video.container import describe_error, open_byte_stream, open_source, open_video, video_stream
from motion_vit.data.video.decode_error import VideoDecodeError

# Seconds between two looks at a file that grows.
_LOOK = 0.05


class VideoFile:
    """A video file.

    Args:
      path: the file.
      wait: seconds without new bytes after which a file that grows has ended; 0.0 takes it as it is.

    Attributes:
      name: for messages.
      is_live: False: a file waits for who reads it.
    """

    is_live = False

    def __init__(self, path: str, wait: float) -> None:
        self.name = path
        self._wait = wait
        self._stopped = threading.Event()

    def frames(self, short_side: int) -> Generator[TimedFrame, None, None]:
        """Decodes its frames; see `FrameSource`."""
        if not self._wait:
            with open_video(self.name) as (container, stream):
                yield from decoded_frames(container, stream, short_side, is_live=False)
            return
        with (
            open_source(self.name) as file,
            open_byte_stream(self.name, _GrowingBytes(file, self._wait, self._stopped)) as (container, stream),
        ):
            yield from decoded_frames(container, stream, short_side, is_live=False)

    def interrupt(self) -> None:
        """Waits for no more bytes."""
        self._stopped.set()


class OpenContainer:
    """A container that the caller opened, whose white lists are the caller's; it is closed at the end.

    Args:
      container: opened for reading.

    Attributes:
      name: for messages.
      is_live: False.
    """

    name = "the open container"
    is_live = False

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container = container
        self._stopped = False

    def frames(self, short_side: int) -> Generator[TimedFrame, None, None]:
        """Decodes its frames from where it is; see `FrameSource`."""
        with self._container as container:
            try:
                stream = video_stream(self.name, container)
                for frame in decoded_frames(container, stream, short_side, is_live=False):
                    yield frame
                    if self._stopped:
                        return
            except av.error.FFmpegError as error:
                raise VideoDecodeError(self.name, describe_error(error)) from error

    def interrupt(self) -> None:
        """Ends after the frame that is waited for."""
        self._stopped = True


class _GrowingBytes:
    """The bytes of a file, those included that are written to it meanwhile."""

    def __init__(self, file: BinaryIO, wait: float, stopped: threading.Event) -> None:
        self._file, self._wait, self._stopped = file, wait, stopped
        self._ended = False
        self.head = b""

    def read(self, size: int) -> bytes:
        until = time.monotonic() + self._wait
        # FFmpeg asks several times at an end, which must not be waited for each time.
        while not (self._ended or self._stopped.is_set()):
            data = os.read(self._file.fileno(), size)
            if data:
                self.head = (self.head + data)[:HEAD_BYTES] if len(self.head) < HEAD_BYTES else self.head
                return data
            self._ended = time.monotonic() >= until
            self._stopped.wait(_LOOK)
        return b""
