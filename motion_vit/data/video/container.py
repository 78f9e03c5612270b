"""Opens videos with PyAV: accepted formats alone, one decoding thread, FFmpeg's errors as a `VideoDecodeError`."""

import contextlib
import errno
import fractions
import io
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol, runtime_checkable

import av
import av.container
import av.error
import av.packet
import av.stream
import av.video.frame
import av.video.stream

from motion_vit.data.video.accepted_formats import ACCEPTED_FORMATS, HEAD_BYTES, describe_content
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import EncodedVideo, JpegFrames, VideoBytes
from motion_vit.errors import UserError
from motion_vit.files.broken_link import broken_link
from motion_vit.files.local_path import local_path
from motion_vit.files.regular_file import open_regular_file

MAX_PIXELS = 8192 * 8192
"""Larger pictures are refused: a damaged header can ask for gigabytes a frame."""

# A tag that is not UTF-8 must not cost the video. PyAV 17 and 18 raise an error unless told to ignore it; PyAV 19 has
# no such argument and always keeps the bytes as surrogate characters.
_TOLERATED_METADATA: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}

# The video comes from an open file or from memory: no file or network address that it names is ever opened.
_CONTAINER_OPTIONS = {"protocol_whitelist": "fd", "format_whitelist": ",".join(ACCEPTED_FORMATS)}
# Streams of pictures that are no video: covers of albums, thumbnails of chapters.
_PICTURES = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails

# Microseconds of a stream that FFmpeg looks at before it gives the first picture: its own 5 s would all be delay.
_SHORT_ANALYSIS = {"analyzeduration": "500000"}

# How MP4 and MOV files start whose index follows the pictures.
_INDEXED_LAST = re.compile(rb".{4}ftyp.*?(free|wide|mdat)", re.DOTALL)
_INDEX_TOO_LATE = (
    "its index, which MP4 and MOV files have at their end, is missing; of what grows or comes in pieces it must be at "
    "the start, as in fragmented MP4, Matroska and transport streams"
)
_START_OF_JPEG = b"\xff\xd8"
# FFmpeg's AVERROR_INVALIDDATA, without its sign.
_INVALID_DATA = int.from_bytes(b"INDA", "little")


@runtime_checkable
class ByteStream(Protocol):
    """Bytes that come one after the other."""

    @property
    def head(self) -> bytes:
        """The first `HEAD_BYTES` bytes, as far as they were read."""

    def read(self, size: int, /) -> bytes:
        """Waits for bytes, and returns at most `size` of them; b"" at the end."""


@contextlib.contextmanager
def open_video(
    video: EncodedVideo,
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Opens the first video stream of a video file or of its bytes.

    The stream decodes in one thread, the caller's: FFmpeg's own threads cost more than they give on small pictures,
    compete with the data loader's, and with PyAV 18.1 and 19.0 deadlock when a video is closed before its end.

    Args:
      video: the video; JPEG frames have no container to open.

    Yields:
      The container and its video stream.

    Raises:
      VideoDecodeError: the video is missing, no regular file, not a video, or in a format that is not accepted; also
        for every error of FFmpeg inside the `with` block.
    """
    with open_source(video) as file:
        source, options = (file, {}) if isinstance(file, io.BytesIO) else ("fd:", {"fd": str(file.fileno())})

        def head() -> bytes:
            # Read beside FFmpeg, which reads from where the file is.
            return (
                file.getvalue()[:HEAD_BYTES] if isinstance(file, io.BytesIO) else os.pread(file.fileno(), HEAD_BYTES, 0)
            )

        with _opened(video, source, head, _CONTAINER_OPTIONS | options) as opened:
            yield opened


@contextlib.contextmanager
def open_byte_stream(
    name: str, source: ByteStream
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Opens the first video stream of bytes that come one after the other, as `open_video` does that of a file.

    What opens is the bytes alone: FFmpeg opens no file and no connection for them.

    Args:
      name: for messages.
      source: the bytes; what its `read` raises passes.

    Yields:
      The container and its video stream.

    Raises:
      VideoDecodeError: as `open_video`.
    """
    with _opened(name, source, lambda: source.head, _CONTAINER_OPTIONS | _SHORT_ANALYSIS, in_order=True) as opened:
        yield opened


@contextlib.contextmanager
def _opened(
    video: EncodedVideo, source: Any, head: Callable[[], bytes], options: dict[str, str], *, in_order: bool = False
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    try:
        container = av.open(source, container_options=options, **_TOLERATED_METADATA)
    except av.error.FFmpegError as error:
        raise VideoDecodeError(video, _refusal(head(), error)) from error
    try:
        with container:
            if in_order and _is_indexed_last(head()):
                raise VideoDecodeError(video, _INDEX_TOO_LATE)
            if not container.streams and _INDEXED_LAST.match(head()):
                raise VideoDecodeError(video, _INDEX_TOO_LATE)
            _check_raw_jpegs(video, head(), container)
            yield container, video_stream(video, container)
    except av.error.FFmpegError as error:
        content = describe_content(head()) if isinstance(error, av.error.InvalidDataError) else None
        raise VideoDecodeError(video, f"it is {content}" if content else describe_error(error)) from error


def open_source(video: EncodedVideo) -> BinaryIO:
    """Opens the bytes of a video.

    Args:
      video: a file or its bytes.

    Returns:
      The bytes, from their start.

    Raises:
      VideoDecodeError: the file is missing, is no regular file, or cannot be read.
    """
    if isinstance(video, VideoBytes):
        return io.BytesIO(video.data)
    if isinstance(video, JpegFrames):
        raise VideoDecodeError(video, "it is a sequence of JPEG files, which has no packets and no times")
    if os.path.isdir(video):
        raise VideoDecodeError(video, "it is a folder; give a video file, for frames of a folder have no times")
    if nowhere := broken_link(video):
        raise VideoDecodeError(video, f"it is {nowhere}")
    try:
        return open_regular_file(video)
    except FileNotFoundError:
        raise VideoDecodeError(video, _why_missing(video)) from None
    except OSError as error:
        raise VideoDecodeError(video, f"the file cannot be read ({error.strerror or type(error).__name__})") from error


def _why_missing(path: str | os.PathLike[str]) -> str:
    try:
        local_path(path)
    except UserError as error:  # it is the address of a bucket or a server
        return str(error).rstrip(".")
    return "the file does not exist"


def video_stream(video: EncodedVideo, container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """Chooses the first video stream of a container, which decodes in one thread.

    Args:
      video: for messages.
      container: opened.

    Returns:
      The stream.

    Raises:
      VideoDecodeError: there is none, there is no decoder for it, or its pictures are too large.
    """
    streams = [one for one in container.streams.video if not one.disposition & _PICTURES]
    # An AVIF animation holds its first picture as a stream of its own, before all of them.
    stream = next((one for one in streams if one.frames != 1), streams[0] if streams else None)
    if stream is None:
        holds = "a cover beside its sound" if container.streams.video else "sound only"
        raise VideoDecodeError(video, f"the file has no video stream: it holds {holds}, or is damaged")
    context = stream.codec_context
    if context is None:
        raise VideoDecodeError(video, "this FFmpeg has no decoder for its codec; convert the file to H.264 mp4")
    if context.width * context.height > MAX_PIXELS:
        raise VideoDecodeError(
            video,
            f"it claims pictures of {context.width}x{context.height} pixels, which is more than the "
            f"{MAX_PIXELS} that are accepted; the file is damaged, or has to be scaled down",
        )
    if not context.is_open:  # it is where others have decoded from the container before
        context.thread_type = "NONE"
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _check_raw_jpegs(video: EncodedVideo, head: bytes, container: av.container.InputContainer) -> None:
    """Refuses files that merely contain JPEG pictures, as PDF files do, which FFmpeg takes for a sequence of them."""
    if container.format.name == "mjpeg" and not head.startswith(_START_OF_JPEG):
        raise VideoDecodeError(video, f"it is {describe_content(head) or 'not a video, but holds JPEG pictures'}")


def _is_indexed_last(head: bytes) -> bool:
    """Tells if the pictures of an MP4 or MOV file come before its index, by the boxes at its start."""
    place = 0
    while head[4:8] == b"ftyp" and place + 8 <= len(head):
        size, kind = int.from_bytes(head[place : place + 4]), head[place + 4 : place + 8]
        if kind in (b"mdat", b"moov", b"moof"):
            return kind == b"mdat"
        place += max(size, 8)
    return False


def _refusal(head: bytes, error: av.error.FFmpegError) -> str:
    """Says why FFmpeg did not open a file."""
    content = describe_content(head)
    if content:
        return f"it is {content}"
    if _INDEXED_LAST.match(head):
        return "the file is cut off or damaged: its index, which MP4 and MOV files have at their end, is missing"
    if isinstance(error, av.error.ArgumentError):  # what FFmpeg says to a format that is not among those allowed
        return "its container format is not one of those that are accepted; convert it to H.264 mp4"
    return describe_error(error)


def demux(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream | None = None
) -> Iterator[av.packet.Packet]:
    """Reads the packets of one stream or of all, and survives streams that break PyAV's `container.demux`.

    Args:
      container: opened by `open_video`.
      stream: None for all.

    Yields:
      The packets in the order of the file, then an empty one for each stream, which flushes its decoder.

    Raises:
      InvalidDataError: the file is damaged.
    """
    packets = container.demux() if stream is None else container.demux(stream)
    try:
        yield from packets
    except IndexError as error:
        # In transport streams and FLV a stream can appear after the header; PyAV then looks for it in vain.
        raise av.error.InvalidDataError(_INVALID_DATA, "a stream appears that the header does not name") from error


def is_empty(packet: av.packet.Packet) -> bool:
    """Tells a packet without data, as AVI files have where the picture before it stays, from one that flushes.

    Decoders end at either; so only those that flush may reach them.

    Args:
      packet: from `demux`.
    """
    return packet.size == 0 and packet.dts is not None


def decode_packet(packet: av.packet.Packet) -> list[av.video.frame.VideoFrame]:
    """Decodes a packet of a video stream.

    Args:
      packet: from `demux`, also an empty one.

    Returns:
      The frames that its decoder gives out now.

    Raises:
      av.error.FFmpegError: it is damaged.
    """
    return [] if is_empty(packet) else packet.decode()


def frame_rate(stream: av.video.stream.VideoStream) -> fractions.Fraction | None:
    """Reads the frame rate of a stream.

    Args:
      stream: of an opened video.

    Returns:
      The average rate, else what the container suggests; None where neither is known.
    """
    return _known(stream.average_rate) or _known(stream.guessed_rate)


def time_base(source: av.video.stream.VideoStream | av.packet.Packet) -> fractions.Fraction | None:
    """Reads the time base of a stream or packet.

    Args:
      source: of an opened video.

    Returns:
      Seconds per unit; None if unknown.
    """
    return _known(source.time_base)


def _known(rational: Any) -> fractions.Fraction | None:
    """Converts a rational of any PyAV version: for an unknown value, 17 and 18 give None, 19 gives 0/1, 1/0 or 0/0."""
    return fractions.Fraction(rational.numerator, rational.denominator) if rational else None


def describe_error(error: av.error.FFmpegError) -> str:
    """Says in words what FFmpeg has met; without the address, which may hold a password.

    Args:
      error: FFmpeg's.

    Returns:
      A clause.
    """
    if isinstance(error, av.error.InvalidDataError):
        return "the file is damaged or is not a video (FFmpeg: invalid data found)"
    if isinstance(error, av.error.EOFError):
        return "the file is cut off: it ends before its first picture; copy it again"
    if isinstance(error, OSError) and error.errno == errno.EIO:  # what Matroska's reader says to a cut header
        return "the file is cut off, or its disk fails (FFmpeg: input/output error); copy it again"
    if isinstance(error, av.error.ArgumentError):  # what a decoder says to a size above `max_pixels`, among others
        return f"the file is damaged, or its pictures have more than {MAX_PIXELS} pixels (FFmpeg: invalid argument)"
    return f"FFmpeg: {error.strerror}"
