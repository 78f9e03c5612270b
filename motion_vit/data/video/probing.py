"""Probes videos: frames, size, rate, duration and times; checks that every frame decodes."""

import dataclasses
from collections.abc import Iterator

import av.video.frame
import av.video.stream

from motion_vit.counts import counted
from motion_vit.data.video.container import decode_packet, demux, open_video
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import EncodedVideo
from motion_vit.data.video.jpeg_frames import JpegSequence, decode_jpegs, find_jpegs
from motion_vit.data.video.orientation import frame_orientation
from motion_vit.data.video.packets import codec_name
from motion_vit.data.video.pixel_aspect import pixel_aspect
from motion_vit.data.video.timeline import Timeline, read_timeline
from motion_vit.errors import UserError

# A video of which fewer than this share of the frames decode is broken.
_LEAST_DECODED = 0.95

NO_TIMES = "the file has neither timestamps nor a frame rate; convert it to H.264 mp4"
"""The reason why a video has no frames at given times."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """Properties of a video.

    Attributes:
      frames: number of frames.
      width: width in pixels of the upright picture, after the rotation that the file asks for.
      height: height in pixels of the upright picture.
      fps: mean frames per second by the times of the frames, 0.0 where the file does not say, as for JPEG
        frames in a folder.
      duration: seconds, 0.0 for JPEG frames whose rate is unknown.
      codec: FFmpeg's name of the codec, for example "h264", "vp9", or "mjpeg" for JPEG frames.
      notes: what is unusual about it, each a sentence without its name.
    """

    frames: int
    width: int
    height: int
    fps: float
    duration: float
    codec: str
    notes: tuple[str, ...] = ()


def count_frames(video: EncodedVideo) -> int:
    """Counts the frames of a video from its packets, and decodes only where these do not tell.

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
    return read_timeline(video).frames


def frame_times(video: EncodedVideo) -> tuple[float, ...] | None:
    """Returns the display time of each frame.

    Args:
      video: in any form.

    Returns:
      Seconds of each frame since the first; None where the file does not say, as for JPEG frames in a folder.

    Raises:
      VideoDecodeError: the video cannot be read.
    """
    jpegs = find_jpegs(video)
    if jpegs is not None:
        return jpegs.times
    return read_timeline(video).times


def check_window(start: float, end: float | None) -> None:
    """Checks a window of time, before a video is opened.

    Args:
      start: seconds after the video's first frame.
      end: the second that the window ends before, or None for the end of the video.

    Raises:
      UserError: the window ends before it starts, or starts before 0.
    """
    # Also false for what is not a number.
    if not (start >= 0 and (end is None or end > start)):
        raise UserError(
            f"a window of time must start at 0 s or later and end after its start; given {start:g} s to "
            f"{'the end' if end is None else f'{end:g} s'}"
        )


def frame_window(
    video: EncodedVideo, start: float, end: float | None, timeline: Timeline | None = None
) -> tuple[int, int]:
    """Finds the frames of a video in a time window.

    Args:
      video: in any form. JPEG frames have no times, so that only the whole can be asked for.
      start: seconds after the video's first frame.
      end: the second that the window ends before, or None for the end of the video.
      timeline: that of the video file, if it was read already.

    Returns:
      The first frame, and the number of frames whose time lies in [start, end).

    Raises:
      UserError: the window ends before it starts, or starts before 0.
      VideoDecodeError: no frame is shown in the window, or the video cannot be read.
    """
    check_window(start, end)
    jpegs = find_jpegs(video)
    if jpegs is not None:
        if start == 0 and end is None:
            return 0, len(jpegs)
        raise VideoDecodeError(video, f"a sequence of JPEG files has no times to find {start:g} s in; list it whole")
    times = (timeline or read_timeline(video)).times
    if times is None:
        raise VideoDecodeError(video, NO_TIMES)
    inside = [frame for frame, time in enumerate(times) if time >= start and (end is None or time < end)]
    if not inside:
        window = f"from {start:g} s" + ("" if end is None else f" to {end:g} s")
        raise VideoDecodeError(
            video, f"it has no frame {window}: its {counted(len(times), 'frame')} end at {times[-1]:.3f} s"
        )
    return inside[0], len(inside)


def _describe(stream: av.video.stream.VideoStream, frame: av.video.frame.VideoFrame, timeline: Timeline) -> VideoInfo:
    width, height = frame.width, frame.height
    if frame_orientation(frame).transposed:
        width, height = height, width
    notes = tuple(_notes(stream, timeline))
    return VideoInfo(timeline.frames, width, height, timeline.fps, timeline.duration, codec_name(stream), notes)


def _notes(stream: av.video.stream.VideoStream, timeline: Timeline) -> Iterator[str]:
    if timeline.repeats > 0:
        packets = timeline.frames + timeline.repeats
        yield f"{timeline.repeats} of its {packets} packets hold no frame; the one before them stays"
    if not timeline.is_even:
        yield "its frame rate varies; sampling counts frames, unless data.fps is set"
    aspect = pixel_aspect(stream)
    if aspect != 1:
        yield f"its pixels are {float(aspect):.3g} times as wide as high; it is decoded as stored, without stretching"


def _describe_jpegs(jpegs: JpegSequence) -> VideoInfo:
    _, height, width, _ = decode_jpegs(jpegs, [0], None).shape
    duration = len(jpegs) / jpegs.fps if jpegs.fps else 0.0
    return VideoInfo(len(jpegs), width, height, fps=jpegs.fps, duration=duration, codec="mjpeg")


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
    timeline = read_timeline(video)
    with open_video(video) as (container, stream):
        for packet in demux(container, stream):
            for frame in decode_packet(packet):
                return _describe(stream, frame, timeline)
    raise VideoDecodeError(video, "not one of its frames can be decoded")


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
                decoded += len(decode_packet(packet))
    except VideoDecodeError as error:
        raise VideoDecodeError(video, f"{error.reason}, after {decoded} of {counted(info.frames, 'frame')}") from error
    if decoded < _LEAST_DECODED * info.frames:
        raise VideoDecodeError(video, f"only {decoded} of its {counted(info.frames, 'frame')} can be decoded")
    return dataclasses.replace(info, frames=decoded)
