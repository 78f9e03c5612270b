"""Reads when the frames of a video are shown, from its packets, and finds files that were cut off."""

import dataclasses
import itertools
import re
import statistics
from collections.abc import Sequence

import av
import av.container
import av.packet
import av.video.stream

from motion_vit.counts import counted
from motion_vit.data.video.container import decode_packet, demux, frame_rate, open_video, time_base
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import EncodedVideo
from motion_vit.data.video.packets import PacketTable, read_packets

# A container that promises more than this share of frames or seconds beyond what the file holds was cut off.
_TOLERATED_MISSING = 0.05
_TOLERATED_FRAMES = 2
# A declared rate is believed if the times of the frames agree with it to this share, or to a frame.
_TOLERATED_RATE = 0.05
# Frames are not evenly spaced if more than this share of the gaps differ from the median by more than half of it.
_UNEVEN_SHARE = 0.05
_UNEVEN_GAP = 0.5
# How Matroska and WebM files note the end of a stream, in its tag DURATION.
_DURATION_TAG = re.compile(r"(\d{1,9}):(\d\d):(\d\d(?:\.\d{1,18})?)")
_MKVMERGE_TAGS = ("_STATISTICS_TAGS", "_STATISTICS_TAGS-eng")


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The frames of a video in time.

    Attributes:
      frames: number of frames.
      times: seconds of each frame since the first; None where the file does not say.
      fps: mean frames per second, by the times of the frames where they contradict the header; 0.0 if unknown.
      duration: seconds from the first frame to the end of the last; 0.0 if unknown.
      repeats: packets that show no frame of their own: the frame before them stays.
    """

    frames: int
    times: tuple[float, ...] | None
    fps: float
    duration: float
    repeats: int

    @property
    def is_even(self) -> bool:
        """True if the frames are evenly spaced in time, as far as the file says."""
        gaps = [after - before for before, after in itertools.pairwise(self.times or ())]
        if not gaps:
            return True
        median = statistics.median(gaps)
        uneven = sum(abs(gap - median) > _UNEVEN_GAP * median for gap in gaps)
        return uneven <= _UNEVEN_SHARE * len(gaps)


def read_timeline(video: EncodedVideo) -> Timeline:
    """Reads the timeline of a video file; decodes it only where the packets do not tell how many frames it has.

    Args:
      video: a file or its bytes.

    Returns:
      The timeline, of at least one frame.

    Raises:
      VideoDecodeError: the video is missing, is no video, holds no frame, was cut off, or has to be decoded and is
        broken.
    """
    with open_video(video) as (container, stream):
        reach = _Reach()
        table = read_packets(container, stream, on_packet=None if _declares_its_end(stream) else reach.add)
        _check_number(video, stream, table)
        missing = _missing(container, stream, table, reach)
        if missing is not None:
            raise VideoDecodeError(video, f"the file is cut off: {missing}; copy it again")
        rate = frame_rate(stream)
        declared = _declared_duration(container, stream, table)
    times = table.times
    frames = table.frames
    if not table.countable:
        frames, times = _decoded_times(video)
    if times is None and rate:
        # Frames of AVI files have numbers in place of times, if anything.
        times = tuple(float(frame / rate) for frame in range(frames))
    fps = _mean_rate(float(rate) if rate else 0.0, times)
    if declared is None:
        declared = frames / fps if fps else 0.0
    return Timeline(frames, times, fps, declared, table.empty + table.frames - frames)


def _check_number(video: EncodedVideo, stream: av.video.stream.VideoStream, table: PacketTable) -> None:
    read = len(table.pts) + table.empty
    if read < stream.frames * (1 - _TOLERATED_MISSING):
        raise VideoDecodeError(
            video,
            f"the file is cut off: it promises {counted(stream.frames, 'frame')} and {read} are left; copy it again",
        )
    if table.frames == 0:
        raise VideoDecodeError(video, "the video has no frames")


def _decoded_times(video: EncodedVideo) -> tuple[int, tuple[float, ...] | None]:
    """Decodes a whole video for the number of its frames and their times."""
    seconds: list[float | None] = []
    with open_video(video) as (container, stream):
        for packet in demux(container, stream):
            for frame in decode_packet(packet):
                unit = time_base(stream)
                seconds.append(float(frame.pts * unit) if frame.pts is not None and unit else None)
    if not seconds:
        raise VideoDecodeError(video, "not one of its frames can be decoded")
    known = [second for second in seconds if second is not None]
    in_order = len(known) == len(seconds) and known == sorted(known)
    return len(seconds), tuple(second - known[0] for second in known) if in_order else None


def _mean_rate(declared: float, times: Sequence[float] | None) -> float:
    """Returns the declared rate, or that of the frames' times where they differ."""
    span = times[-1] - times[0] if times else 0.0
    if not times or span <= 0:
        return declared
    gaps = len(times) - 1
    if declared and abs(declared * span - gaps) <= max(1.001, _TOLERATED_RATE * gaps):
        return declared
    return gaps / span


def _declares_its_end(stream: av.video.stream.VideoStream) -> bool:
    return _declared_end(stream, 0.0) is not None


def _declared_end(stream: av.video.stream.VideoStream, start: float) -> float | None:
    """Returns the second of the file at which the stream itself ends, apart from longer sound beside it.

    Args:
      stream: of an opened video.
      start: the second of the file at which its first frame is shown.
    """
    unit = time_base(stream)
    if stream.duration is not None and unit is not None:
        return start + float(stream.duration * unit)
    tag = _DURATION_TAG.match(stream.metadata.get("DURATION", ""))
    if tag is None:
        return None
    hours, minutes, seconds = tag.groups()
    noted = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    # FFmpeg's tag counts from the start of the file, and mkvmerge's from that of the stream.
    return start + noted if any(name in stream.metadata for name in _MKVMERGE_TAGS) else noted


def _span(table: PacketTable) -> tuple[float, float] | None:
    """Returns the seconds of the file at which the first packet starts and the last one ends."""
    known = [time for time in table.pts if time is not None]
    if not known or table.end is None:
        return None
    return float(min(known) * table.time_base), float(table.end * table.time_base)


def _declared_duration(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, table: PacketTable
) -> float | None:
    unit = time_base(stream)
    if stream.duration is not None and unit is not None:
        return float(stream.duration * unit)
    span = _span(table)
    if span is not None and table.durations[-1]:
        return span[1] - span[0]
    return None if container.duration is None or len(container.streams) > 1 else container.duration / av.time_base


def _missing(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, table: PacketTable, reach: "_Reach"
) -> str | None:
    """Describes the missing part of the declared duration; None if nothing is missing or none is declared."""
    span = _span(table)
    if span is None:
        return None
    start, reached = span
    declared = _declared_end(stream, start)
    if declared is None:
        # The container's duration is that of its longest stream: whichever reaches it shows that the file is whole.
        start, declared = 0.0, 0.0 if container.duration is None else container.duration / av.time_base
        reached = reach.end
    rate = frame_rate(stream)
    tolerated = max(_TOLERATED_MISSING * (declared - start), _TOLERATED_FRAMES / float(rate) if rate else 0.0)
    if reached >= declared - tolerated:
        return None
    return f"it promises {declared - start:.2f} s and {reached - start:.2f} s are left"


class _Reach:
    """Tracks the latest second that the packets of all streams reach."""

    def __init__(self) -> None:
        self.end = 0.0

    def add(self, packet: av.packet.Packet) -> None:
        unit = time_base(packet)
        if packet.pts is not None and unit is not None:
            self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * unit))
