"""Damaged video files made from good ones, and what the decoder makes of them."""

import time
from collections.abc import Iterator, Mapping

import numpy as np

from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import VideoBytes
from motion_vit.data.video.probing import check_video, count_frames, frame_window, probe_video

# The part of a file with most of what can be wrong in it: the container's header and the first frame's.
_HEADER = 1024


def mutants(originals: Mapping[str, bytes], seed: int, count: int) -> Iterator[VideoBytes]:
    """Damages files at random.

    Args:
      originals: Name -> bytes of good files.
      seed: Fixes every draw: mutant number i of a seed is the same whatever the count.
      count: How many to make.

    Yields:
      The damaged files; their names say from what, how, and with which seed and number.
    """
    kinds = (
        _flip_bits,
        _flip_header_bits,
        _truncate,
        _zero_range,
        _swap_headers,
        _repeat_range,
        _drop_range,
        _scramble,
    )
    names = sorted(originals)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        name, other = (names[i] for i in rng.integers(0, len(names), 2))
        mutate = kinds[number % len(kinds)]
        data = bytearray(originals[name])
        mutate(data, originals[other], rng)
        yield VideoBytes(f"{name}, {mutate.__name__.strip('_')}, seed {seed}, number {number}", bytes(data))


def _flip_bits(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    for at in rng.integers(0, len(data), rng.integers(1, 60)):
        data[at] ^= 1 << int(rng.integers(8))


def _flip_header_bits(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    # An mp4 that is not made for streaming has its header at the end.
    offset = len(data) - 2 * _HEADER if rng.integers(2) else 0
    for at in rng.integers(0, min(_HEADER, len(data)), rng.integers(1, 12)):
        data[max(0, offset) + at] ^= 1 << int(rng.integers(8))


def _truncate(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    del data[int(rng.integers(0, len(data))) :]


def _range(data: bytearray, rng: np.random.Generator) -> slice:
    start = int(rng.integers(0, len(data)))
    return slice(start, min(len(data), start + int(2 ** rng.uniform(2, 12))))


def _zero_range(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    part = _range(data, rng)
    data[part] = bytes(part.stop - part.start)


def _swap_headers(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    length = int(2 ** rng.uniform(3, 11))
    data[:length] = other[:length]


def _repeat_range(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    part = _range(data, rng)
    data[part.start : part.start] = data[part]


def _drop_range(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    del data[_range(data, rng)]


def _scramble(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    part = _range(data, rng)
    data[part] = rng.bytes(part.stop - part.start)


def read_everything(video: VideoBytes) -> tuple[int, float]:
    """Reads a video in every way that there is.

    Args:
      video: The video, damaged or not.

    Returns:
      How many of the ways gave a result, where the others raised `VideoDecodeError`, and the seconds that it took.

    Raises:
      AssertionError: A result is of a wrong shape.
    """
    started = time.monotonic()
    frames = 0
    good = 0
    for read in (count_frames, probe_video, check_video):
        try:
            result = read(video)
        except VideoDecodeError:
            continue
        good += 1
        frames = max(frames, result if isinstance(result, int) else result.frames)
    assert frames < 1_000_000, f"{frames} frames are counted"
    last = max(0, frames - 1)
    for indices, short_side in (([0], None), ([last, 0, last // 2], 32), (range(last // 2, last // 2 + 4), 32)):
        try:
            clip = decode_frames(video, list(indices), short_side=short_side)
        except VideoDecodeError:
            continue
        good += 1
        assert clip.dtype == np.uint8
        assert (clip.ndim, len(clip), clip.shape[-1]) == (4, len(indices), 3)
        assert clip.size > 0
        assert short_side is None or min(clip.shape[1:3]) <= short_side
    for start, end in ((0.0, None), (0.3, 0.7)):
        try:
            first, number = frame_window(video, start, end)
        except VideoDecodeError:
            continue
        good += 1
        assert first >= 0
        assert number > 0
    return good, time.monotonic() - started
