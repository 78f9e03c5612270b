"""Frames of iterators: at a rate, or with times; and what is no frame."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.streams.frame_source import frame_source

PICTURE = np.zeros((8, 10, 3), np.uint8)


def test_frames_have_the_times_of_their_rate_or_their_own() -> None:
    at_rate = list(frame_source(iter([PICTURE] * 3), frame_rate=4).frames(8))
    assert [(frame.seconds, frame.duration) for frame in at_rate] == [(0.0, 0.25), (0.25, 0.25), (0.5, 0.25)]
    timed = list(frame_source(iter([(100.0, PICTURE), (100.0, PICTURE), (102.5, PICTURE)])).frames(8))
    assert [frame.seconds for frame in timed] == [0.0, 0.0, 2.5]


@pytest.mark.parametrize(
    ("items", "rate", "said"),
    [
        ([PICTURE], None, "frame 0 of the frames is given as ndarray, but without a frame_rate .* pair"),
        ([PICTURE, PICTURE.astype(np.float32)], 10, r"frame 1 of the frames is float32 \[8, 10, 3\], but must be"),
        ([PICTURE[..., 0]], 10, r"frame 0 of the frames is uint8 \[8, 10\]"),
        ([PICTURE[:0]], 10, "frame 0"),
        (["a"], 10, "frame 0 of the frames is str, but must be an array of RGB values"),
        ([(1.0, PICTURE), (0.5, PICTURE)], None, r"comes at 0\.5 s, after one at 1 s"),
        ([(float("nan"), PICTURE)], None, "comes at nan s"),
        ([(0.0, PICTURE), (float("inf"), PICTURE)], None, "comes at inf s"),
    ],
)
def test_what_is_no_frame_is_told(items: list[Any], rate: float | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        list(frame_source(iter(items), frame_rate=rate).frames(8))


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        (None, {}, "the source is given as NoneType, but must be"),
        (True, {}, "the source is given as bool"),
        (-1, {}, "the camera is given as -1; cameras have the numbers 0, 1, 2"),
        (b"a.mp4", {}, "the source is given as bytes"),
        ([], {"frame_rate": 0}, "frame_rate is 0, but must be"),
        ("a.mp4", {"wait": -1}, "wait is -1, but must be"),
        ("a.mp4", {"timeout": float("nan")}, "timeout is nan, but must be"),
        ("a.mp4", {"attempts": 1.5}, "attempts is 1.5, but must be"),
        ("gs://bucket/a.mp4", {}, "gs://bucket/a.mp4 is an address that is not followed"),
        ("file:///etc/passwd", {}, "is an address that is not followed"),
        ("concat://a|b", {}, "is an address that is not followed"),
        ("http://", {}, "is no complete address"),
        ("http://host:port/", {}, "is no complete address"),
        ("http://host/a b", {}, "is no complete address"),
        ("http://me:secret@host/\r\nX: y", {}, "is no complete address"),
        ("rtsp://[::1/x", {}, "is no complete address"),
    ],
)
def test_what_is_no_source_is_told_before_anything_is_opened(source: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as told:
        frame_source(source, **options)
    assert "secret" not in str(told.value)


def test_a_generator_is_closed_at_the_end() -> None:
    closed = threading.Event()

    def pictures() -> Iterator[np.ndarray]:
        try:
            while True:
                yield PICTURE
        finally:
            closed.set()

    frames = frame_source(pictures(), frame_rate=10).frames(8)
    next(frames)
    frames.close()
    assert closed.is_set()
