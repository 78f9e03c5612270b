"""Decodes the frames of an opened container as they come, with times that never go back."""

import heapq
import time
from collections.abc import Iterator

import av.container
import av.error
import av.packet
import av.video.frame
import av.video.stream

from motion_vit.data.streams.timed_frame import TimedFrame
from motion_vit.data.video.container import decode_packet, demux, frame_rate, time_base
from motion_vit.data.video.decoding import RgbConverter

# Packets in a row that a decoder may refuse of a stream that is joined in its middle, or that has lost some.
_MOST_REFUSED = 500
# Seconds by which the times of a live stream may go on from one frame to the next: more is another clock.
_LONGEST_STEP = 60.0
# Seconds after which a frame is taken to come where neither times nor a rate say so.
_USUAL_STEP = 0.04
# Formats in which pictures follow each other without times.
_TIMELESS = frozenset({"mjpeg", "mpjpeg"})
# The format that numbers pictures in the order of decoding.
_NUMBERED = "avi"


def decoded_frames(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, short_side: int, *, is_live: bool
) -> Iterator[TimedFrame]:
    """Decodes the frames of a stream from where its container is.

    Args:
      container: opened.
      stream: of the container.
      short_side: frames whose shorter side is longer than this are scaled down to it.
      is_live: whether packets that cannot be decoded are left out, clocks may jump, and pictures without times have
        those of their arrival.

    Yields:
      The frames; seconds count from the first of them.

    Raises:
      av.error.FFmpegError: the stream is broken.
    """
    convert = RgbConverter(short_side)
    name = container.format.name
    # A decoder that gives frames in the order of their packets may give none for a packet that changes nothing.
    reorders = name == _NUMBERED and bool(stream.codec_context.has_b_frames)
    clock = _Clock(stream, is_live=is_live, arrivals=is_live and name in _TIMELESS, reorders=reorders)
    refused = 0
    for packet in demux(container, stream):
        clock.note(packet)
        try:
            decoded = decode_packet(packet)
        except av.error.InvalidDataError:
            refused += 1
            if not is_live or refused > _MOST_REFUSED:
                raise
            continue
        for frame in decoded:
            refused = 0
            seconds, is_jump = clock.read(frame)
            unit = frame.time_base
            duration = float(frame.duration * unit) if frame.duration and unit else 0.0
            if not duration or (unit and abs(duration - clock.step) < unit):
                duration = clock.step  # which Matroska rounds to milliseconds
            yield TimedFrame(seconds, convert(frame), duration, after_gap=is_jump)


class _Clock:
    """Gives frames their times."""

    def __init__(self, stream: av.video.stream.VideoStream, *, is_live: bool, arrivals: bool, reorders: bool) -> None:
        rate = frame_rate(stream)
        self.step = float(1 / rate) if rate and not arrivals else 0.0
        self._unit = time_base(stream)
        self._is_live, self._arrivals, self._reorders = is_live, arrivals, reorders
        self._waiting: list[int] = []
        self._origin = time.monotonic()
        self._first: int | None = None
        self._last = 0.0
        self._offset = 0.0
        self._frames = 0

    def note(self, packet: av.packet.Packet) -> None:
        """Keeps the number of a packet for one of the frames to come, the least for the next."""
        if self._reorders and packet.size and packet.pts is not None:
            heapq.heappush(self._waiting, packet.pts)

    def read(self, frame: av.video.frame.VideoFrame) -> tuple[float, bool]:
        """Returns the seconds of the next frame, and whether the clock of the stream has jumped before it."""
        pts = heapq.heappop(self._waiting) if self._waiting else frame.pts
        self._frames += 1
        if self._frames == 1:
            self._origin, self._first = time.monotonic(), pts
            return 0.0, False
        seconds = self._told(pts)
        if self._is_live and not self._last <= seconds <= self._last + _LONGEST_STEP:
            after = self._last + (self.step or _USUAL_STEP)
            self._offset += after - seconds
            self._last = after
            return after, True
        self._last = max(self._last, seconds)
        return self._last, False

    def _told(self, pts: int | None) -> float:
        if self._arrivals:
            return time.monotonic() - self._origin + self._offset
        if pts is None or self._first is None or self._unit is None:
            return (self._frames - 1) * (self.step or _USUAL_STEP) + self._offset
        return float((pts - self._first) * self._unit) + self._offset
