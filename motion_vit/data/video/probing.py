"""Probes videos: frames, size, rate, duration and times; checks that every frame decodes."""

import dataclasses
import re

import av
import av.container
import av.packet
import av.video.frame
import av.video.stream

from motion_vit.data.video.container import demux, frame_rate, open_video, time_base
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import EncodedVideo
from motion_vit.data.video.jpeg_frames import JpegSequence, decode_jpegs, find_jpegs
from motion_vit.data.video.orientation import frame_orientation
from motion_vit.data.video.packets import PacketTable, codec_name, read_packets
from motion_vit.errors import UserError

# A container that promises more than this share of frames or seconds beyond what the file holds was cut off.
_TOLERATED_MISSING = 0.05
_TOLERATED_FRAMES = 2
# How Matroska and WebM files note the duration of a stream, in its tag DURATION.
_DURATION_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """Properties of a video.

    Attributes:
      frames: number of frames.
      width: width in pixels of the upright picture, after the rotation that the file asks for.
      height: height in pixels of the upright picture.
      fps: mean frames per second, 0.0 where the file does not say, as for JPEG frames.
      duration: seconds, 0.0 for JPEG frames.
      codec: FFmpeg's name of the codec, for example "h264", "vp9", or "mjpeg" for JPEG frames.
    """

    frames: int
    width: int
    height: int
    fps: float
    duration: float
    codec: str


def count_frames(video: EncodedVideo) -> int:
    """Counts the frames of a video from its packets, without decoding.

    Containers report this number wrongly or, as Matroska and WebM, not at all.

    Args:
      video: in any form.

    Returns:
      The number of frames, at least 1.

    Raises:
      VideoDecodeError: the video is missing, is no video, holds no frame or was cut off.
    """
    jpegs = find_jpegs(video)
    if jpegs is not None:
        return len(jpegs)
    with open_video(video) as (container, stream):
        return _read_all_packets(video, container, stream).frames


def _read_all_packets(
    video: EncodedVideo, container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> PacketTable:
    """Reads every packet; raises `VideoDecodeError` if there is none, or clearly fewer than the container promises."""
    table = read_packets(container, stream)
    read = len(table.pts)
    if read < stream.frames * (1 - _TOLERATED_MISSING):
        raise VideoDecodeError(
            video, f"the file is cut off: it promises {stream.frames} frames and {read} are left; copy it again"
        )
    if table.frames == 0:
        raise VideoDecodeError(video, "the video has no frames")
    return table


def frame_times(video: EncodedVideo) -> tuple[float, ...] | None:
    """Returns the display time of each frame.

    Args:
      video: in any form.

    Returns:
      Seconds of each frame since the first; None where the file does not say, as for JPEG frames.

    Raises:
      VideoDecodeError: the video cannot be read.
    """
    if find_jpegs(video) is not None:
        return None
    with open_video(video) as (container, stream):
        return _read_all_packets(video, container, stream).times


def frame_window(video: EncodedVideo, start: float, end: float | None) -> tuple[int, int]:
    """Finds the frames of a video in a time window.

    Args:
      video: in any form. JPEG frames have no times, so that only the whole can be asked for.
      start: seconds after the video's first frame.
      end: the second that the window ends before, or None for the end of the video.

    Returns:
      The first frame, and the number of frames whose time lies in [start, end).

    Raises:
      UserError: the window ends before it starts, or starts before 0.
      VideoDecodeError: no frame is shown in the window, or the video cannot be read.
    """
    if start < 0 or (end is not None and end <= start):
        raise UserError(
            f"a window of time must start at 0 s or later and end after its start; given {start:g} s to {end} s"
        )
    jpegs = find_jpegs(video)
    if jpegs is not None:
        if start == 0 and end is None:
            return 0, len(jpegs)
        raise VideoDecodeError(video, f"a sequence of JPEG files has no times to find {start:g} s in; list it whole")
    times = frame_times(video)
    if times is None:
        raise VideoDecodeError(video, "the file has neither timestamps nor a frame rate; convert it to H.264 mp4")
    inside = [frame for frame, time in enumerate(times) if time >= start and (end is None or time < end)]
    if not inside:
        window = f"from {start:g} s" + ("" if end is None else f" to {end:g} s")
        raise VideoDecodeError(video, f"it has no frame {window}: its {len(times)} frames end at {times[-1]:.3f} s")
    return inside[0], len(inside)


def _declared_seconds(stream: av.video.stream.VideoStream) -> float | None:
    """Returns the declared duration of the stream itself, apart from longer sound beside it."""
    unit = time_base(stream)
    if stream.duration is not None and unit is not None:
        return float(stream.duration * unit)
    tag = _DURATION_TAG.match(stream.metadata.get("DURATION", ""))
    if tag is None:
        return None
    hours, minutes, seconds = tag.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _describe(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    frame: av.video.frame.VideoFrame,
    frames: int,
) -> VideoInfo:
    width, height = frame.width, frame.height
    if frame_orientation(frame).transposed:
        width, height = height, width
    rate = frame_rate(stream)
    fps = float(rate) if rate else 0.0
    duration = _declared_seconds(stream)
    if duration is None and container.duration is not None:
        duration = container.duration / av.time_base
    if duration is None:
        duration = frames / fps if fps else 0.0
    return VideoInfo(frames, width, height, fps, duration, codec_name(stream))


def _describe_jpegs(jpegs: JpegSequence) -> VideoInfo:
    _, height, width, _ = decode_jpegs(jpegs, [0], None).shape
    return VideoInfo(len(jpegs), width, height, fps=0.0, duration=0.0, codec="mjpeg")


def probe_video(video: EncodedVideo) -> VideoInfo:
    """Describes a video after decoding its first frame.

    A file that was cut off can decode without an error, so the number and the times of its packets are compared with
    what its container declares.

    Args:
      video: in any form.

    Returns:
      The number of frames (counted, not what the container says), upright size, rate, duration and codec.

    Raises:
      VideoDecodeError: the video is missing, is no video, holds no frame, was cut off, or its first frame is broken.
    """
    jpegs = find_jpegs(video)
    if jpegs is not None:
        return _describe_jpegs(jpegs)
    frames = count_frames(video)
    info: VideoInfo | None = None
    reach = _Reach()
    with open_video(video) as (container, stream):
        for packet in demux(container):
            reach.add(packet, packet.stream is stream)
            if packet.stream is stream and info is None:
                info = next((_describe(container, stream, frame, frames) for frame in packet.decode()), None)
        missing = reach.missing(container, stream)
    if info is None:
        raise VideoDecodeError(video, "not one of its frames can be decoded")
    if missing is not None:
        raise VideoDecodeError(video, f"the file is cut off: {missing}; copy it again")
    return info


def check_video(video: EncodedVideo) -> VideoInfo:
    """Describes a video after decoding every frame.

    Args:
      video: in any form.

    Returns:
      As `probe_video`, with `frames` the number of frames that were decoded.

    Raises:
      VideoDecodeError: as `probe_video`, or any later part of the stream is broken or missing.
    """
    info = probe_video(video)
    jpegs = find_jpegs(video)
    if jpegs is not None:
        for frame in range(len(jpegs)):
            decode_jpegs(jpegs, [frame], None)
        return info
    decoded = 0
    try:
        with open_video(video) as (container, stream):
            for packet in demux(container, stream):
                decoded += len(packet.decode())
    except VideoDecodeError as error:
        raise VideoDecodeError(video, f"{error.reason}, after {decoded} of {info.frames} frames") from error
    if decoded < info.frames * (1 - _TOLERATED_MISSING):
        raise VideoDecodeError(video, f"only {decoded} of its {info.frames} frames can be decoded")
    return dataclasses.replace(info, frames=decoded)


class _Reach:
    """Tracks the latest time that the packets of a file reach."""

    def __init__(self) -> None:
        self._video_start: float | None = None
        self._video_end = 0.0
        self._end = 0.0

    def add(self, packet: av.packet.Packet, is_video: bool) -> None:
        unit = time_base(packet)
        if packet.pts is None or unit is None or packet.size == 0:
            return
        start = float(packet.pts * unit)
        end = start + float((packet.duration or 0) * unit)
        self._end = max(self._end, end)
        if is_video:
            self._video_start = start if self._video_start is None else min(start, self._video_start)
            self._video_end = max(self._video_end, end)

    def missing(self, container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> str | None:
        """Describes the missing part of the declared duration; None if nothing is missing or none is declared."""
        if self._video_start is None:
            return None
        declared, reached = _declared_seconds(stream), self._video_end - self._video_start
        if declared is None:
            # The container's duration is that of its longest stream: whichever reaches it shows that the file is whole.
            declared = 0.0 if container.duration is None else container.duration / av.time_base
            reached = self._end
        rate = frame_rate(stream)
        tolerated = max(_TOLERATED_MISSING * declared, _TOLERATED_FRAMES / float(rate) if rate else 0.0)
        if reached >= declared - tolerated:
            return None
        return f"it promises {declared:.2f} s and {reached:.2f} s are left"
