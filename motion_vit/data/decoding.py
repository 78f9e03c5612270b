"""Frames out of video files, with PyAV: only the frames that a clip needs, upright, as RGB."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence

import av
import av.container
import av.error
import av.video.frame
import av.video.reformatter
import av.video.stream
import numpy as np
from jaxtyping import UInt8

from motion_vit.errors import UserError

# Decoders start their threads per opened file: below this many pixels a frame that costs more than it gives.
_THREADED_PIXELS = 512 * 512
# Finding a keyframe reads the whole file once: worth it only when at least this many frames need not be decoded.
_SEEK_SAVES_FRAMES = 48
# A container that promises more than this share of frames beyond what the file holds was cut off.
_TOLERATED_MISSING = 0.05


class VideoDecodeError(UserError):
    """A video file that is missing, broken, or shorter than it claims to be.

    Attributes:
      path: The file, as it was given.
      reason: What is wrong with it, in words.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str):
        """Builds the message from the file and the reason.

        Args:
          path: The file, as it was given.
          reason: What is wrong with it, in words.
        """
        super().__init__(f"cannot decode the video {os.fspath(path)}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type["VideoDecodeError"], tuple[str, str]]:
        """Lets the error travel out of a worker process, which rebuilds it from its two arguments."""
        return type(self), (self.path, self.reason)


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
      frames: Number of frames.
      width: Width in pixels of the upright picture, after the rotation that the file asks for.
      height: Height in pixels of the upright picture.
      fps: Mean frames a second, 0.0 where the file does not say.
      duration: Seconds.
    """

    frames: int
    width: int
    height: int
    fps: float
    duration: float


@contextlib.contextmanager
def _open_video(
    path: str | os.PathLike[str],
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Opens the first video stream and turns everything FFmpeg has to complain about into `VideoDecodeError`."""
    try:
        with av.open(os.fspath(path), metadata_errors="ignore") as container:
            if not container.streams.video:
                raise VideoDecodeError(path, "the file has no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoDecodeError(path, "this FFmpeg has no decoder for its codec; convert the file to H.264 mp4")
            context = stream.codec_context
            if context.width * context.height < _THREADED_PIXELS:
                context.thread_count = 1
            else:
                context.thread_type = "AUTO"
            yield container, stream
    except av.error.FFmpegError as error:
        raise VideoDecodeError(path, _reason(error)) from error


def _reason(error: av.error.FFmpegError) -> str:
    if isinstance(error, av.error.FileNotFoundError):
        return "the file does not exist"
    if isinstance(error, av.error.InvalidDataError):
        return "the file is damaged or is not a video (FFmpeg: invalid data found)"
    return f"FFmpeg: {error.strerror}"


@dataclasses.dataclass(frozen=True)
class _Packets:
    """The packets of a video stream in display order, without decoding any of them."""

    pts: list[int | None]
    keyframes: frozenset[int]

    @property
    def positions(self) -> dict[int, int] | None:
        """Timestamp -> frame number, or None where timestamps are missing or repeat, as in some AVI files."""
        found = {pts: position for position, pts in enumerate(self.pts) if pts is not None}
        return found if len(found) == len(self.pts) else None


def _read_packets(
    path: str | os.PathLike[str], container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> _Packets:
    """Reads every packet of the stream; raises `VideoDecodeError` where the container promises clearly more."""
    shown: list[int | None] = []
    keyframes = set()
    read = 0
    for packet in container.demux(stream):
        if packet.size == 0:  # the empty packet that flushes the decoder
            continue
        read += 1
        if packet.is_discard:  # an edit list hides this one: it is decoded for the others' sake and never shown
            continue
        shown.append(packet.pts)
        if packet.is_keyframe and packet.pts is not None:
            keyframes.add(packet.pts)
    if read < stream.frames * (1 - _TOLERATED_MISSING):
        raise VideoDecodeError(
            path, f"the file is cut off: it promises {stream.frames} frames and {read} are left; copy it again"
        )
    shown.sort(key=lambda pts: -1 if pts is None else pts)
    return _Packets(pts=shown, keyframes=frozenset(keyframes))


def count_frames(path: str | os.PathLike[str]) -> int:
    """Counts the frames of a video from its packets, without decoding.

    Containers report this number wrongly or, as Matroska and WebM, not at all.

    Args:
      path: The video file.

    Returns:
      The number of frames, at least 1.

    Raises:
      VideoDecodeError: The file is missing, is no video, holds no frame or was cut off.
    """
    with _open_video(path) as (container, stream):
        frames = len(_read_packets(path, container, stream).pts)
    if frames == 0:
        raise VideoDecodeError(path, "the video has no frames")
    return frames


def _quarter_turns(frame: av.video.frame.VideoFrame) -> int:
    """The counter-clockwise quarter turns that put the frame upright (0..3)."""
    return round(frame.rotation / 90) % 4


def _describe(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    frame: av.video.frame.VideoFrame,
    frames: int,
) -> VideoInfo:
    width, height = frame.width, frame.height
    if _quarter_turns(frame) % 2:
        width, height = height, width
    rate = stream.average_rate or stream.guessed_rate
    fps = float(rate) if rate else 0.0
    if stream.duration is not None and stream.time_base is not None:
        duration = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration = container.duration / av.time_base
    else:
        duration = frames / fps if fps else 0.0
    return VideoInfo(frames=frames, width=width, height=height, fps=fps, duration=duration)


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Describes a video after decoding its first frame only.

    Args:
      path: The video file.

    Returns:
      The number of frames (counted, not what the container says), upright size, rate and duration.

    Raises:
      VideoDecodeError: The file is missing, is no video, holds no frame, was cut off, or its first frame is broken.
    """
    frames = count_frames(path)
    with _open_video(path) as (container, stream):
        for frame in container.decode(stream):
            return _describe(container, stream, frame, frames)
    raise VideoDecodeError(path, "not one of its frames can be decoded")


def check_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Describes a video after really decoding every frame of it.

    Args:
      path: The video file.

    Returns:
      As `probe_video`, with `frames` the number of frames that were decoded.

    Raises:
      VideoDecodeError: As `probe_video`, or any later part of the stream is broken.
    """
    info = probe_video(path)
    decoded = 0
    try:
        with _open_video(path) as (container, stream):
            for _ in container.decode(stream):
                decoded += 1
    except VideoDecodeError as error:
        raise VideoDecodeError(path, f"{error.reason}, after {decoded} of {info.frames} frames") from error
    if decoded < info.frames * (1 - _TOLERATED_MISSING):
        raise VideoDecodeError(path, f"only {decoded} of its {info.frames} frames can be decoded")
    return dataclasses.replace(info, frames=decoded)


class _RgbConverter:
    """Turns decoded frames into upright RGB arrays of one size, that of the first frame."""

    def __init__(self, short_side: int | None):
        self._short_side = short_side
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: av.video.frame.VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
        if self._size is None:
            scale = 1.0
            if self._short_side is not None:
                scale = min(1.0, self._short_side / min(frame.width, frame.height))
            self._size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
        width, height = self._size
        threads = 1 if frame.width * frame.height < _THREADED_PIXELS else 0
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=threads).to_ndarray()
        return np.rot90(rgb, k=_quarter_turns(frame))


def _frames_from(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    seek: tuple[int, dict[int, int]] | None,
) -> Iterator[tuple[int, av.video.frame.VideoFrame]]:
    """Yields (frame number, frame) in display order, from the start or from the keyframe at the timestamp `seek[0]`."""
    if seek is None:
        yield from enumerate(container.decode(stream))
        return
    pts, positions = seek
    container.seek(pts, stream=stream)
    for frame in container.decode(stream):
        if frame.pts in positions:
            yield positions[frame.pts], frame


def _seek_target(path: str | os.PathLike[str], first: int) -> tuple[int, dict[int, int]] | None:
    """The keyframe to start at for frame number `first`, or None where decoding from the start is as good."""
    if first < _SEEK_SAVES_FRAMES:
        return None
    with _open_video(path) as (container, stream):
        packets = _read_packets(path, container, stream)
    positions = packets.positions
    if positions is None:
        return None
    before = [pts for pts in packets.keyframes if positions[pts] <= first]
    if not before or positions[max(before)] < _SEEK_SAVES_FRAMES:
        return None
    return max(before), positions


def _decode_wanted(
    path: str | os.PathLike[str],
    wanted: Sequence[int],
    short_side: int | None,
    seek: tuple[int, dict[int, int]] | None,
) -> tuple[dict[int, UInt8[np.ndarray, "h w 3"]], int]:
    """Decodes up to the last of the sorted frame numbers; returns those found, and how many frames were passed."""
    convert = _RgbConverter(short_side)
    remaining = set(wanted)
    found: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
    passed = 0
    with _open_video(path) as (container, stream):
        for position, frame in _frames_from(container, stream, seek):
            passed = max(passed, position + 1)
            if position in remaining:
                found[position] = convert(frame)
                remaining.remove(position)
                if not remaining:
                    break
    return found, passed


def decode_frames(
    path: str | os.PathLike[str], indices: Sequence[int] | np.ndarray, *, short_side: int | None = None
) -> UInt8[np.ndarray, "t h w 3"]:
    """Decodes chosen frames of a video, stopping after the last of them.

    Frames are numbered from 0 in display order, whatever their timestamps. Decoding starts at a later keyframe where
    that saves work. The picture is turned upright as the file's rotation metadata asks.

    Args:
      path: The video file.
      indices: Frame numbers, in any order and with repetitions; the clip comes back in that order.
      short_side: Frames whose shorter side is longer than this are scaled down to it (bilinear, in the same pass as the
        colour conversion, so that a clip of a large video stays small). None keeps the size.

    Returns:
      The frames as RGB.

    Raises:
      VideoDecodeError: The file is missing or broken, or has fewer frames than asked for.
      ValueError: `indices` is empty or has a negative number.
    """
    order = [int(index) for index in indices]
    if not order or min(order) < 0:
        raise ValueError(f"indices must be frame numbers from 0 on and at least one of them; given {order}")
    wanted = sorted(set(order))
    seek = _seek_target(path, wanted[0])
    found, passed = _decode_wanted(path, wanted, short_side, seek)
    if seek is not None and len(found) < len(wanted):  # the keyframe did not lead where the timestamps said
        found, passed = _decode_wanted(path, wanted, short_side, None)
    if len(found) < len(wanted):
        raise VideoDecodeError(
            path,
            f"frame {wanted[-1]} was asked for and the video has {passed} frames; "
            "if the list has a column `frames`, prepare it again",
        )
    return np.stack([found[index] for index in order])
