"""Decodes clips that are published as one JPEG image per frame, in a folder or in memory, with OpenCV."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from motion_vit.data.video.container import MAX_PIXELS
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import EncodedVideo, JpegFrames, VideoBytes

_START_OF_SCAN = 0xDA
# ITU-T T.81, table B.1: the markers that start a frame header, which holds the size; C4, C8 and CC mean other things.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END_OF_IMAGE = b"\xff\xd9"
# Markers without a length: TEM, RST0-7 and SOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
# Libjpeg decodes at these fractions of the size for a fraction of the time.
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


@dataclasses.dataclass(frozen=True)
class JpegSequence:
    """JPEG files in display order.

    Attributes:
      name: for messages.
      files: paths or bytes, in display order.
    """

    name: str
    files: tuple[pathlib.Path | bytes, ...]

    def __len__(self) -> int:
        """Returns the number of frames."""
        return len(self.files)

    def check_numbering(self) -> None:
        """Checks that no frame is missing between two others, where the file names are numbers.

        Raises:
          VideoDecodeError: a number is missing.
        """
        stems = [file.stem for file in self.files if isinstance(file, pathlib.Path)]
        if not all(stem.isdecimal() for stem in stems):
            return
        for before, after in itertools.pairwise(stems):
            if int(after) != int(before) + 1:
                raise VideoDecodeError(self.name, f"frames are missing: {before}.jpg is followed by {after}.jpg")

    def read(self, frame: int) -> bytes:
        """Reads the file of a frame.

        Raises:
          VideoDecodeError: it cannot be read.
        """
        file = self.files[frame]
        if isinstance(file, bytes):
            return file
        try:
            return file.read_bytes()
        except OSError as error:
            raise VideoDecodeError(self.name, f"its frame {file.name} cannot be read ({error.strerror})") from error


def find_jpegs(video: EncodedVideo) -> JpegSequence | None:
    """Returns the JPEG frames of a video, if it consists of JPEG frames.

    Args:
      video: any video.

    Returns:
      Its frames, or None where it is a video file.

    Raises:
      VideoDecodeError: it has no frames, or its folder cannot be listed.
    """
    files: tuple[pathlib.Path | bytes, ...]
    if isinstance(video, JpegFrames):
        name, files = video.name, video.frames
    elif isinstance(video, VideoBytes) or not os.path.isdir(video):
        return None
    else:
        name = os.fspath(video)
        try:
            files = tuple(sorted(path for path in pathlib.Path(video).iterdir() if path.suffix.lower() == ".jpg"))
        except OSError as error:
            raise VideoDecodeError(name, f"the folder cannot be listed ({error.strerror})") from error
    if not files:
        raise VideoDecodeError(name, "it has no JPEG files (*.jpg)")
    return JpegSequence(name, files)


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
            sequence.name, f"frame {indices[-1]} was asked for and there are {len(sequence)} JPEG files"
        )
    size: tuple[int, int] | None = None
    frames = []
    for index in indices:
        data = sequence.read(index)
        width, height = _checked_size(sequence, index, data)
        if size is None:
            size = scaled_size(width, height, short_side)
        frames.append(_decode(sequence, index, data, (width, height), size))
    return np.stack(frames)


def _decode(
    sequence: JpegSequence, index: int, data: bytes, stored: tuple[int, int], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a picture of the size `stored` (width, height) to `size`."""
    fits = (factor for factor in _REDUCED if stored[0] >= factor * size[0] and stored[1] >= factor * size[1])
    mode = _REDUCED.get(next(fits, 1), cv2.IMREAD_COLOR)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise VideoDecodeError(sequence.name, f"its JPEG file {index} is damaged (OpenCV: {error.err})") from error
    if picture is None:
        raise VideoDecodeError(sequence.name, f"its JPEG file {index} is damaged (OpenCV cannot decode it)")
    if picture.shape[1::-1] != size:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _checked_size(sequence: JpegSequence, index: int, data: bytes) -> tuple[int, int]:
    """Reads (width, height) from a JPEG's header and checks its end: OpenCV fills a file that was cut off with grey."""
    size = _header_size(data)
    if size is None:
        raise VideoDecodeError(sequence.name, f"its JPEG file {index} is damaged or is not a JPEG file")
    # Coded data never contains a marker, so that an end before the last scan is that of a thumbnail.
    if data.rfind(_END_OF_IMAGE) < data.rfind(bytes([0xFF, _START_OF_SCAN])):
        raise VideoDecodeError(sequence.name, f"its JPEG file {index} is cut off; copy it again")
    width, height = size
    if not 0 < width * height <= MAX_PIXELS:
        raise VideoDecodeError(
            sequence.name,
            f"its JPEG file {index} claims {width}x{height} pixels; expected between 1 and {MAX_PIXELS} pixels",
        )
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
