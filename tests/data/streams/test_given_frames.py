"""Frames of iterators: at a rate, or with times; and what is no frame."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
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


@pytest.mark.parametrize("kind", [float, np.float32, np.int64, Fraction])
def test_times_and_rates_may_be_real_numbers_of_any_library(kind: Callable[[int], Any]) -> None:
    at_rate = frame_source(iter([PICTURE] * 3), frame_rate=kind(4)).frames(8)
    assert [frame.seconds for frame in at_rate] == [0.0, 0.25, 0.5]
    timed = frame_source(iter([(kind(7), PICTURE), (kind(9), PICTURE)])).frames(8)
    assert [frame.seconds for frame in timed] == [0.0, 2.0]


class Broken:
    """Frames, with an error where it is told to be."""

    def __init__(self, where: str) -> None:
        self.where, self.given = where, 0

    def __iter__(self) -> "Broken":
        self.fail("iter")
        return self

    def __next__(self) -> np.ndarray:
        self.fail(f"frame {self.given}")
        self.given += 1
        if self.given > 3:
            raise StopIteration
        return PICTURE

    def close(self) -> None:
        self.fail("close")

    def fail(self, here: str) -> None:
        if here == self.where:
            raise KeyError(f"no\x1b {here}")


@pytest.mark.parametrize(("where", "given"), [("iter", "0 frames"), ("frame 0", "0 frames"), ("frame 2", "2 frames")])
def test_an_error_of_the_iterator_is_told_as_its_own(where: str, given: str) -> None:
    with pytest.raises(
        UserError, match=rf"the iterator of frames has raised KeyError after {given}: .*no.*{where}"
    ) as told:
        list(frame_source(Broken(where), frame_rate=1).frames(8))
    assert isinstance(told.value.__cause__, KeyError)
    assert "\x1b" not in str(told.value)


def test_an_error_of_its_close_is_told_after_all_frames() -> None:
    frames = frame_source(Broken("close"), frame_rate=1).frames(8)
    assert [next(frames).seconds for _ in range(3)] == [0.0, 1.0, 2.0]
    with pytest.raises(UserError, match="raised KeyError after 3 frames"):
        next(frames)


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
        ([(0.0, PICTURE), (10**400, PICTURE)], None, "comes at inf s"),
        ([("0", PICTURE)], None, "frame 0 of the frames is given as tuple of str, ndarray, but without a frame_rate"),
        ([(0.0, PICTURE, "a", 1)], None, r"given as tuple of float, ndarray, str, \.\.\., but"),
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
