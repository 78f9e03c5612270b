"""Decodes clips that are published as one JPEG or PNG image per frame, in a folder or in memory, with OpenCV."""

import dataclasses
import logging
import os
import pathlib
import stat
import zlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from motion_vit.counts import counted
from motion_vit.data.video.container import MAX_PIXELS
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import EncodedVideo, JpegFrames, VideoBytes
from motion_vit.data.video.frame_files import FRAME_PATTERNS, FrameOrderError, order_frames
from motion_vit.files.broken_link import broken_link

_logger = logging.getLogger(__name__)
# Every clip of a data set may have gaps, and is read again in every epoch.
_LOGGED_FOLDERS = 10
_doubted: set[str] = set()

_START_OF_SCAN = 0xDA
# ITU-T T.81, table B.1: the markers that start a frame header, which holds the size; C4, C8 and CC mean other things.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END_OF_IMAGE = b"\xff\xd9"
# Markers without a length: TEM, RST0-7 and SOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
# PNG (ISO/IEC 15948): the signature, and the types of the first chunk, which holds the size, and of the last.
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_FIRST = b"IHDR"
_PNG_LAST = b"IEND"
# Libjpeg decodes at these fractions of the size for a fraction of the time.
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


@dataclasses.dataclass(frozen=True)
class JpegSequence:
    """JPEG or PNG files in display order.

    Attributes:
      name: for messages.
      files: paths or bytes, in display order.
      doubts: what the names of the files say is missing or doubtful, as clauses.
      fps: frames per second; 0.0 if unknown, as for files in a folder.
    """

    name: str
    files: tuple[pathlib.Path | bytes, ...]
    doubts: tuple[str, ...] = ()
    fps: float = 0.0

    @property
    def times(self) -> tuple[float, ...] | None:
        """Seconds of each frame since the first; None where the rate is unknown."""
        return tuple(frame / self.fps for frame in range(len(self))) if self.fps else None

    def __len__(self) -> int:
        """Returns the number of frames."""
        return len(self.files)

    def frame_name(self, frame: int) -> str:
        """Names a frame for messages: its file, or its number from 0 on where it is in memory."""
        file = self.files[frame]
        return f"frame {frame if isinstance(file, bytes) else file.name}"

    def read(self, frame: int) -> bytes:
        """Reads the file of a frame.

        Raises:
          VideoDecodeError: it cannot be read.
        """
        file = self.files[frame]
        if isinstance(file, bytes):
            return file
        if nowhere := broken_link(file):
            raise VideoDecodeError(self.name, f"its {self.frame_name(frame)} is {nowhere}")
        try:
            # A pipe would be read for ever.
            if not stat.S_ISREG(file.stat().st_mode):
                raise VideoDecodeError(self.name, f"its {self.frame_name(frame)} is not a regular file")
            return file.read_bytes()
        except OSError as error:
            raise VideoDecodeError(
                self.name, f"its {self.frame_name(frame)} cannot be read ({error.strerror})"
            ) from error


def find_jpegs(video: EncodedVideo) -> JpegSequence | None:
    """Returns the frames of a video, if it consists of JPEG or PNG files.

    The files of a folder are in the order of `frame_files.order_frames`. Gaps and other doubts do not keep it from
    being read: they are logged once for each folder.

    Args:
      video: any video.

    Returns:
      Its frames, or None where it is a video file.

    Raises:
      VideoDecodeError: it has no frames, the order of its frames is not known, or its folder cannot be listed.
    """
    if isinstance(video, JpegFrames):
        found = JpegSequence(video.name, video.frames, fps=video.fps)
    elif isinstance(video, VideoBytes) or not os.path.isdir(video):
        return None
    else:
        found = _list_folder(pathlib.Path(video))
    if not found.files:
        others = f": {'; '.join(found.doubts)}" if found.doubts else f" ({FRAME_PATTERNS})"
        raise VideoDecodeError(found.name, f"it has no frames{others}")
    if found.doubts:
        _log_once(found)
    return found


def frame_doubts(video: EncodedVideo) -> tuple[str, ...]:
    """Returns what the file names of a frame folder say is missing or doubtful, as clauses; () of other videos.

    Args:
      video: any video.

    Returns:
      Gaps in the numbering, names of several patterns, and files that were left out.

    Raises:
      VideoDecodeError: as `find_jpegs`.
    """
    found = find_jpegs(video)
    return () if found is None else found.doubts


def _list_folder(folder: pathlib.Path) -> JpegSequence:
    name = os.fspath(folder)
    try:
        files = order_frames(path.name for path in folder.iterdir())
    except OSError as error:
        raise VideoDecodeError(name, f"the folder cannot be listed ({error.strerror})") from error
    except FrameOrderError as error:
        raise VideoDecodeError(name, str(error)) from None
    return JpegSequence(name, tuple(folder / file for file in files.names), files.doubts)


def _log_once(found: JpegSequence) -> None:
    """Logs the doubts about a folder, at most once, and about the first folders only."""
    if found.name in _doubted or len(_doubted) > _LOGGED_FOLDERS:
        return
    _doubted.add(found.name)
    if len(_doubted) <= _LOGGED_FOLDERS:
        _logger.warning("%s: %s", found.name, "; ".join(found.doubts))
    else:
        _logger.warning("More folders of frames have such gaps or names; `motion-vit data check` names all of them.")


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Scales a (width, height) down to a shorter side of at most `short_side`; None keeps the size."""
    scale = 1.0 if short_side is None else min(1.0, short_side / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def decode_jpegs(
    sequence: JpegSequence, indices: Sequence[int], short_side: int | None
) -> UInt8[np.ndarray, "t h w 3"]:
    """Decodes chosen frames. Orientation tags are ignored: the frames of a clip lie as they were encoded.

    Args:
      sequence: the frames.
      indices: sorted frame numbers without repetitions, at least one.
      short_side: frames whose shorter side is longer than this are scaled down to it; None keeps the size.

    Returns:
      The frames as RGB, all in the size of the first of them.

    Raises:
      VideoDecodeError: a frame is missing, damaged or cut off.
    """
    if indices[-1] >= len(sequence):
        raise VideoDecodeError(
            sequence.name, f"frame {indices[-1]} was asked for and there are {counted(len(sequence), 'frame')}"
        )
    size: tuple[int, int] | None = None
    frames = []
    for index in indices:
        data = sequence.read(index)
        width, height = picture_size(sequence, index, data)
        if size is None:
            size = scaled_size(width, height, short_side)
        frames.append(_decode(sequence, index, data, (width, height), size))
    return np.stack(frames)


def _decode(
    sequence: JpegSequence, index: int, data: bytes, stored: tuple[int, int], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a picture of the size `stored` (width, height) to `size`."""
    mode = cv2.IMREAD_COLOR
    if not data.startswith(_PNG_SIGNATURE):
        fits = (factor for factor in _REDUCED if stored[0] >= factor * size[0] and stored[1] >= factor * size[1])
        mode = _REDUCED.get(next(fits, 1), mode)
    name = f"its {sequence.frame_name(index)}"
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise VideoDecodeError(sequence.name, f"{name} is damaged (OpenCV: {error.err})") from error
    if picture is None:
        raise VideoDecodeError(sequence.name, f"{name} is damaged (OpenCV cannot decode it)")
    if picture.shape[1::-1] != size:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def picture_size(sequence: JpegSequence, index: int, data: bytes) -> tuple[int, int]:
    """Reads the size of a picture from its header and checks its end: OpenCV fills a file that was cut off.

    Args:
      sequence: the frames.
      index: of the frame.
      data: its file.

    Returns:
      Width and height.

    Raises:
      VideoDecodeError: it is neither a JPEG nor a PNG file, or is cut off.
    """
    name = f"its {sequence.frame_name(index)}"
    is_png = data.startswith(_PNG_SIGNATURE)
    size = _png_size(data) if is_png else _header_size(data)
    if size is None:
        raise VideoDecodeError(sequence.name, f"{name} is damaged or is neither a JPEG nor a PNG file")
    if is_png:
        is_whole = any(kind == _PNG_LAST for kind, _, _ in _png_chunks(data))
    else:
        # Coded data never contains a marker, so that an end before the last scan is that of a thumbnail.
        is_whole = 0 <= data.rfind(bytes([0xFF, _START_OF_SCAN])) <= data.rfind(_END_OF_IMAGE)
    if not is_whole:
        raise VideoDecodeError(sequence.name, f"{name} is cut off; copy it again")
    width, height = size
    if not 0 < width * height <= MAX_PIXELS:
        raise VideoDecodeError(
            sequence.name,
            f"{name} claims {width}x{height} pixels; expected between 1 and {MAX_PIXELS} pixels",
        )
    return size


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yields the type, the content and the checksum of each whole chunk of a PNG file."""
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            return
        yield data[position + 4 : position + 8], data[position + 8 : end - 4], data[end - 4 : end]
        position = end


def _png_size(data: bytes) -> tuple[int, int] | None:
    """Reads (width, height) from the first chunk of a PNG file; None where a chunk is damaged or the first another."""
    size = None
    for kind, content, checksum in _png_chunks(data):
        if zlib.crc32(kind + content) != int.from_bytes(checksum, "big"):
            return None
        if size is None:
            if kind != _PNG_FIRST:
                return None
            size = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big")
    return size


def _header_size(data: bytes) -> tuple[int, int] | None:
    """Walks the marker segments of a JPEG file (ITU-T T.81, annex B) to its frame header."""
    if data[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _START_OF_FRAME:
            height, width = (int.from_bytes(data[position + at : position + at + 2], "big") for at in (5, 7))
            return width, height
        if marker == _START_OF_SCAN:
            return None
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
