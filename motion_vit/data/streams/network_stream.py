"""Takes frames from an address, and connects again where the connection is lost."""

import contextlib
import threading
import time
from collections.abc import Generator, Iterator

import av
import av.container
import av.error
import av.video.stream

from motion_vit.data.streams.address import Address
from motion_vit.data.streams.decoded_frames import decoded_frames
from motion_vit.data.streams.http_bytes import HttpBytes
from motion_vit.data.streams.lost_connection import LostConnectionError, Reconnection
from motion_vit.data.streams.timed_frame import TimedFrame
from motion_vit.data.video.container import describe_error, open_byte_stream, video_stream
from motion_vit.data.video.decode_error import VideoDecodeError

# Pictures come through the connection that was asked for. FFmpeg's other way, packets that anybody may send to a port
# of this machine, is not open, and so is no other protocol or format that a server might name.
_RTSP = {
    "protocol_whitelist": "tcp",
    "format_whitelist": "rtsp",
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",
    "analyzeduration": "500000",
}

_Opened = contextlib.AbstractContextManager[tuple[av.container.InputContainer, av.video.stream.VideoStream]]


class NetworkStream:
    """A stream at an address.

    Args:
      address: of one of the schemes that are followed.
      timeout: seconds to wait for a connection, and for each piece.
      attempts: to connect again, in a row.

    Attributes:
      name: the address, without its password.
      is_live: True.
    """

    is_live = True

    def __init__(self, address: Address, timeout: float, attempts: int) -> None:
        self.name = address.shown
        self._address, self._timeout = address, timeout
        self._stopped = threading.Event()
        self._reconnection = Reconnection(self.name, attempts, self._stopped)
        self._bytes: HttpBytes | None = None
        self._heard = 0.0

    def frames(self, short_side: int) -> Generator[TimedFrame, None, None]:
        """Decodes its frames; see `FrameSource`. After a lost connection, time goes on by what it took to come back."""
        last, arrived = 0.0, time.monotonic()
        offset, is_first = 0.0, True
        while not self._stopped.is_set():
            try:
                with self._open() as (container, stream):
                    for number, frame in enumerate(decoded_frames(container, stream, short_side, is_live=True)):
                        now = time.monotonic()
                        gap = frame.after_gap
                        if not number and not is_first:
                            gap, offset = True, last + max(now - arrived, frame.duration) - frame.seconds
                        last, arrived, is_first = frame.seconds + offset, now, False
                        self._heard = now
                        self._reconnection.worked()
                        yield TimedFrame(last, frame.picture, frame.duration, after_gap=gap)
                        if self._stopped.is_set():
                            return
                return
            except LostConnectionError as error:
                if not self._stopped.is_set():
                    self._reconnection.pause(error)

    def interrupt(self) -> None:
        """Waits for no more pieces."""
        self._stopped.set()
        if self._bytes is not None:
            self._bytes.interrupt()

    def _open(self) -> _Opened:
        return self._open_rtsp() if self._address.scheme == "rtsp" else self._open_http()

    @contextlib.contextmanager
    def _open_http(self) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
        self._bytes = HttpBytes(self._address, self._timeout, self._reconnection, self._stopped)
        try:
            with open_byte_stream(self.name, self._bytes) as opened:
                yield opened
            self._raise_failure()
        except VideoDecodeError:
            # FFmpeg takes a lost connection for the end of a file, or for a damaged one.
            self._raise_failure()
            raise
        finally:
            self._bytes.close()

    def _raise_failure(self) -> None:
        if self._bytes is not None and self._bytes.failure is not None:
            raise self._bytes.failure

    @contextlib.contextmanager
    def _open_rtsp(self) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
        # Messages of FFmpeg's errors hold the whole address, password included; they are not chained.
        self._heard = time.monotonic()
        try:
            container = av.open(
                self._address.text, format="rtsp", container_options=_RTSP, timeout=(self._timeout, self._timeout)
            )
        except av.error.FFmpegError as error:
            raise self._lost(error) from None
        try:
            with container:
                yield container, video_stream(self.name, container)
        except av.error.FFmpegError as error:
            raise self._lost(error) from None

    def _lost(self, error: av.error.FFmpegError) -> LostConnectionError:
        # Where our timeout ends FFmpeg, it may say that, or that what it has is no stream.
        if isinstance(error, av.error.ExitError | TimeoutError) or time.monotonic() - self._heard >= self._timeout:
            return LostConnectionError(f"nothing has come for {self._timeout:g} s")
        if isinstance(error, ConnectionRefusedError):
            return LostConnectionError("connection refused")
        if isinstance(error, av.error.ArgumentError | av.error.ProtocolNotFoundError):
            return LostConnectionError(
                "the server leads to another address, which is not followed, or gives no video through one connection"
            )
        return LostConnectionError(describe_error(error))
