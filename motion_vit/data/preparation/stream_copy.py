"""Cuts a part out of a long video: copies its packets, from a keyframe on, into a new file.

A codec that cannot be copied is encoded anew.
"""

import dataclasses
import fractions
import io
import math
import operator
from collections.abc import Sequence

import av
import av.container
import av.error
import av.packet
import av.video.stream

from motion_vit.data.preparation.h264_fast import encode_h264_fast
from motion_vit.data.video.container import demux, frame_rate, open_video, time_base
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import VideoBytes
from motion_vit.data.video.encoding import BIT_EXACT
from motion_vit.data.video.packets import codec_name, read_packets
from motion_vit.data.video.probing import check_video, frame_window, probe_video
from motion_vit.data.video.timeline import read_timeline

# How far before the start to look for a keyframe: indexes lead to one at or before a time, but not in every container.
_PREROLL_SECONDS = (0, 2, 20)
# AVI has no timestamps of display, only an order of decoding: H.264 can reorder as many packets as this.
_REORDERED_PACKETS = 16
# The muxer for what each demuxer reads. MP4 and AVI keep what is their own (display matrix, packets without times);
# Matroska takes every codec.
_MUXERS = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "avi": "avi"}
# A file that ends this share of the part, or this many frames, before the part does is taken for whole.
_TOLERATED_MISSING = 0.05
_TOLERATED_FRAMES = 2
# Codecs whose packets hold all that decoding takes, so that a copy need not be tried. Raw pictures, for one, are
# described by their container.
_COPIED_WHOLE = frozenset({"h264", "hevc", "mpeg4", "vp8", "vp9", "av1", "mjpeg", "mpeg1video", "mpeg2video"})
# Of what is encoded anew: x264's quality at which pictures look the same.
_CRF = 18


class _NotCopiedError(Exception):
    """Error of packets that cannot be copied into a file of their own; its message says why."""


@dataclasses.dataclass(frozen=True)
class VideoCut:
    """A part of a video as its own video.

    Attributes:
      video: the cut video. It starts with a keyframe at or before the part and may end after it.
      first_frame: first frame of the part in the cut video.
      frames: number of frames of the part.
      fps: frames per second of the whole video, 0.0 where its file does not say.
      end: end of the part in seconds of the whole video: as requested, or the end of the last frame.
    """

    video: VideoBytes
    first_frame: int
    frames: int
    fps: float
    end: float


@dataclasses.dataclass(frozen=True)
class _Window:
    """The requested part.

    Attributes:
      zero: timestamp of the video's first frame.
      unit: seconds per unit of timestamps.
      start: start of the part in seconds after the first frame.
      end: end of the part, exclusive; infinite for the end of the video.
    """

    zero: int
    unit: fractions.Fraction
    start: float
    end: float

    def seconds(self, timestamp: int) -> float:
        return float((timestamp - self.zero) * self.unit)

    def holds(self, timestamp: int) -> bool:
        return self.start <= self.seconds(timestamp) < self.end

    def __str__(self) -> str:
        return f"from {self.start:g} s" + ("" if math.isinf(self.end) else f" to {self.end:g} s")


@dataclasses.dataclass
class _TimedPacket:
    """A packet with a presentation time.

    Attributes:
      packet: as the demuxer gives it.
      pts: presentation timestamp.
    """

    packet: av.packet.Packet
    pts: int


def cut_video(path: str, start: float, end: float | None) -> VideoCut:
    """Cuts a part out of a video file, reading little more than that part where its packets can be copied.

    Where they cannot, as those of GIF, WMV or of screen captures, the part is encoded anew, as H.264 of the same size.

    Args:
      path: the video file.
      start: seconds after the video's first frame.
      end: end of the part in seconds, exclusive; None for the end of the video.

    Returns:
      The part. Its frames are those that `frame_window` finds in the whole video.

    Raises:
      VideoDecodeError: the file is missing or damaged, no frame is shown in the part, or the file does not say when its
        frames are shown.
    """
    try:
        return _copy_part(path, start, end)
    except _NotCopiedError as error:
        return _encode_part(path, start, end, str(error))


def _encode_part(path: str, start: float, end: float | None, cause: str) -> VideoCut:
    try:
        first, frames = frame_window(path, start, end)
        timeline = read_timeline(path)
        data = encode_h264_fast(path, first, frames, timeline.fps, short_side=None, crf=_CRF)
    except VideoDecodeError as error:
        raise VideoDecodeError(path, f"{error.reason} (to be encoded anew, as {cause})") from error
    return VideoCut(VideoBytes(path, data), 0, frames, timeline.fps, timeline.duration if end is None else end)


def _copy_part(path: str, start: float, end: float | None) -> VideoCut:
    """Copies the packets of a part; raises `_NotCopiedError` besides what `cut_video` does."""
    zero, unit = _first_timestamp(path)
    window = _Window(zero, unit, start, math.inf if end is None else end)
    with open_video(path) as (container, stream):
        packets, goes_on = _read_window(path, container, stream, window)
        shown = sorted((packet for packet in packets if window.holds(packet.pts)), key=operator.attrgetter("pts"))
        rate = frame_rate(stream)
        fps = float(rate) if rate else 0.0
        reached = window.seconds(shown[-1].pts) + (1 / fps if fps else 0.0)
        if not goes_on:
            _check_reach(path, container, stream, window, reached)
        codec = codec_name(stream)
        if container.format.name == "avi":
            _number_packets(packets)
        seconds = [float((packet.pts - packets[0].pts) * unit) for packet in (shown[0], shown[-1])]
        data = _mux(container, stream, packets)
    video = VideoBytes(path, data)
    try:
        first, last = _find_frames(video, seconds)
        if codec not in _COPIED_WHOLE:
            probe_video(video)
    except VideoDecodeError as error:
        raise _NotCopiedError(f"a copy of its {codec} packets cannot be read: {error.reason}") from error
    if last - first + 1 != len(shown):
        raise _NotCopiedError(f"its packets do not tell which frames are shown {window}")
    return VideoCut(video, first, len(shown), fps, reached if end is None else end)


def _first_timestamp(path: str) -> tuple[int, fractions.Fraction]:
    """Returns the timestamp of the first frame shown, and the seconds per unit of timestamps."""
    with open_video(path) as (container, stream):
        table = read_packets(container, stream, last_frame=0)
    if not table.frames:
        raise VideoDecodeError(path, "the video has no frames")
    first = table.pts[table.display_order[0]]
    if first is None:
        raise VideoDecodeError(path, "the file has no timestamps to cut by; convert it to H.264 mp4")
    return first, table.time_base


def _read_window(
    path: str, container: av.container.InputContainer, stream: av.video.stream.VideoStream, window: _Window
) -> tuple[list[_TimedPacket], bool]:
    """Reads the packets needed to decode the window, in decoding order, from a keyframe on.

    Returns them, and whether the file goes on after the window.
    """
    found = False
    for preroll in (*_PREROLL_SECONDS, window.start + _PREROLL_SECONDS[-1]):
        timestamp = window.zero + math.floor((window.start - preroll) / window.unit)
        try:
            container.seek(max(timestamp, min(window.zero, 0)), stream=stream)
        except av.error.FFmpegError as error:
            raise _NotCopiedError(f"FFmpeg finds no place in it by time: {error.strerror}") from error
        packets, goes_on = _read_until_end(path, container, stream, window)
        inside = [number for number, packet in enumerate(packets) if window.holds(packet.pts)]
        found = found or bool(inside)
        # The frames that follow a keyframe in the file and are shown before it need the keyframe before it.
        starts = [
            number
            for number, packet in enumerate(packets[: inside[0] + 1] if inside else [])
            if packet.packet.is_keyframe and window.seconds(packet.pts) <= window.start
        ]
        if starts:
            first = packets[starts[-1]].pts
            return [packet for packet in packets[starts[-1] :] if packet.pts >= first], goes_on
    if not found:
        raise VideoDecodeError(path, f"it has no frame {window}{_length(stream)}")
    raise VideoDecodeError(path, f"it has no keyframe to decode it from {window}; convert it to H.264 mp4")


def _length(stream: av.video.stream.VideoStream) -> str:
    unit = time_base(stream)
    if stream.duration is None or unit is None:
        return ""
    return f": it lasts {float(stream.duration * unit):.3f} s"


def _read_until_end(
    path: str, container: av.container.InputContainer, stream: av.video.stream.VideoStream, window: _Window
) -> tuple[list[_TimedPacket], bool]:
    """Reads the packets up to the last one shown before the window's end, and tells if others follow."""
    packets: list[_TimedPacket] = []
    needed = 0
    margin = _REORDERED_PACKETS if container.format.name == "avi" else 0
    for packet in demux(container, stream):
        if packet.size == 0:  # it flushes the decoder, or says that the picture before it stays
            continue
        if packet.pts is None:
            raise VideoDecodeError(path, "some of its frames have no timestamp to cut by; convert it to H.264 mp4")
        if packet.is_corrupt:
            raise VideoDecodeError(path, f"the file is damaged near {window.seconds(packet.pts):.2f} s")
        packets.append(_TimedPacket(packet, packet.pts))
        if window.seconds(packet.pts) < window.end:
            needed = len(packets)
        # No frame is shown before it is decoded: those that follow are all shown later.
        decoded = packet.pts if packet.dts is None else packet.dts
        if window.seconds(decoded) >= window.end and len(packets) >= needed + margin:
            break
    return packets[: needed + margin], any(window.seconds(packet.pts) >= window.end for packet in packets)


def _check_reach(
    path: str,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    window: _Window,
    reached: float,
) -> None:
    """Raises an error if the file ends before the window does, although its header promises more."""
    declared = None
    if stream.duration is not None:
        declared = float(stream.duration * window.unit)
    elif container.duration is not None and len(container.streams) == 1:
        declared = container.duration / av.time_base
        if container.format.name == "matroska,webm":  # whose duration counts from the start of the file
            declared -= float(window.zero * window.unit)
    if declared is None:
        return
    promised = min(declared, window.end)
    rate = frame_rate(stream)
    tolerated = max(_TOLERATED_MISSING * (promised - window.start), _TOLERATED_FRAMES / float(rate) if rate else 0.0)
    if promised - reached > tolerated:
        raise VideoDecodeError(
            path, f"the file is cut off: it promises {declared:.2f} s and ends at {reached:.2f} s; copy it again"
        )


def _number_packets(packets: Sequence[_TimedPacket]) -> None:
    """Gives the packets of an AVI file consecutive times, because its muxer would fill gaps with empty frames."""
    order = sorted(range(len(packets)), key=lambda number: packets[number].pts)
    for position, number in enumerate(order):
        packets[number].pts = position + _REORDERED_PACKETS
        packets[number].packet.dts = number


def _mux(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, packets: Sequence[_TimedPacket]
) -> bytes:
    """Writes packets as a video whose first frame is shown at 0 s.

    Raises:
      _NotCopiedError: the container cannot hold this codec, or these packets.
    """
    try:
        return _muxed(container, stream, packets)
    except (av.error.FFmpegError, ValueError) as error:
        codec = codec_name(stream)
        raise _NotCopiedError(
            f"packets of the codec {codec} cannot be copied ({str(error).splitlines()[0]})"
        ) from error


def _muxed(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, packets: Sequence[_TimedPacket]
) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=_MUXERS.get(container.format.name, "matroska"), options=BIT_EXACT) as output:
        # Opaque: the parameters of the codec are copied, without an encoder, which FFmpeg lacks for many.
        target = output.add_stream_from_template(stream, opaque=True)
        before = packets[0].pts
        for timed in packets:
            packet = timed.packet
            packet.pts = timed.pts - before
            if packet.dts is not None:
                packet.dts -= before
            packet.stream = target
            output.mux(packet)
    return buffer.getvalue()


def _find_frames(video: VideoBytes, seconds: Sequence[float]) -> list[int]:
    """Finds the frames of the cut video at these seconds; containers round timestamps differently."""
    with open_video(video) as (container, stream):
        table = read_packets(container, stream)
    times = table.times
    if times is None or (not table.numbered and check_video(video).frames != table.frames):
        raise _NotCopiedError("its packets do not tell where its frames are")
    return [min(range(len(times)), key=lambda frame: abs(times[frame] - second)) for second in seconds]
