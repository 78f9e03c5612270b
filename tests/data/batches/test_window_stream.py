"""Windows of frames that come one by one: those of a file with these frames, early, and with few frames kept."""

import itertools
import pathlib
from collections.abc import Iterable

import numpy as np
import pytest
from small_videos import ENCODINGS, encode_sample

from motion_vit.data.batches import window_stream
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.window_stream import WindowStream
from motion_vit.data.batches.window_views import WindowReader, Windows, WindowViews
from motion_vit.data.streams.timed_frame import TimedFrame
from motion_vit.data.streams.video_file import VideoFile
from motion_vit.data.video.decode_error import VideoDecodeError

SEGMENT = ClipOptions(frames=4, size=16)
DENSE = ClipOptions(frames=3, size=16, sampling="dense", stride=2)
BY_TIME = ClipOptions(frames=3, size=16, sampling="dense", stride=2, fps=20.0)
PICTURE = np.zeros((16, 16, 3), np.uint8)


def cut(frames: Iterable[TimedFrame], options: ClipOptions, windows: Windows) -> list[WindowViews]:
    stream = WindowStream("frames", options, windows, clips=2, crops=3)
    found = []
    last = None
    for frame in frames:
        found += stream.add(frame.seconds, frame.picture)
        last = frame
    assert last is not None
    return found + list(stream.end(last.seconds + last.duration))


def check_same(found: list[WindowViews], expected: list[WindowViews]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.start, one.end) == (pytest.approx(other.start, abs=1e-9), pytest.approx(other.end, abs=1e-6))
        np.testing.assert_array_equal(one.views, other.views)


@pytest.mark.parametrize("options", [SEGMENT, DENSE, BY_TIME], ids=["segment", "dense", "by time"])
@pytest.mark.parametrize("rate", [10, 30])
def test_windows_are_those_of_the_file(options, rate, tmp_path, write_video, numbered):
    video = str(write_video(tmp_path / "long.mp4", numbered(61), rate=rate))
    frames = list(VideoFile(video, 0.0).frames(16))
    rng = np.random.default_rng(rate)
    chosen = [Windows(1.0, 0.25), Windows(0.7, 0.7), Windows(1.0, 0.5, end=1.7), Windows(100.0, 1.0)]
    for _ in range(8):
        seconds = rng.uniform(0.05, 2.5)
        chosen.append(Windows(seconds, seconds * rng.uniform(0.2, 1), end=rng.choice([None, rng.uniform(0.1, 7)])))
    for windows in chosen:
        expected = list(WindowReader(video, options, windows, clips=2, crops=3))
        check_same(cut(frames, options, windows), expected)


@pytest.mark.parametrize("name", ENCODINGS)
def test_windows_are_those_of_the_file_in_every_container(name: str, tmp_path: pathlib.Path) -> None:
    video = str(encode_sample(tmp_path, name))
    windows = Windows(0.5, 0.2)
    expected = list(WindowReader(video, SEGMENT, windows, clips=2, crops=3))
    check_same(cut(VideoFile(video, 0.0).frames(16), SEGMENT, windows), expected)


def test_a_window_comes_with_the_first_frame_behind_it() -> None:
    stream = WindowStream("frames", SEGMENT, Windows(1.0, 0.5))
    when = {}
    for number in range(40):
        for window in stream.add(number / 10, PICTURE):
            when[round(window.end, 6)] = number / 10
    assert when == {end: end for end in (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)}


@pytest.mark.parametrize("seed", range(5))
def test_frames_are_kept_once_and_only_for_windows_to_come(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = Windows(1.0, float(rng.uniform(0.05, 1.0)))
    stream = WindowStream("frames", SEGMENT, windows)
    for seconds in np.cumsum(rng.uniform(0.0, 0.1, 2000)).tolist():
        for _ in stream.add(seconds, PICTURE):
            pass
        kept = np.asarray(stream._times)
        assert kept[-1] - kept[0] <= windows.seconds + 0.1
        assert len(stream._pictures) == len(kept)
        assert stream._bytes == len(kept) * PICTURE.nbytes


def test_a_day_without_frames_takes_no_time() -> None:
    stream = WindowStream("frames", SEGMENT, Windows(1.0, 0.001))
    times = [0.0, 0.5, 80_000.0, 80_000.5, 80_001.2]
    found = [window for seconds in times for window in stream.add(seconds, PICTURE)]
    assert {window.start < 1 or window.start > 79_998 for window in found} == {True}
    for one, other in itertools.pairwise(found):
        assert one.start < other.start


def test_what_would_need_too_much_memory_or_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_stream, "MOST_BYTES", 100 * PICTURE.nbytes)
    stream = WindowStream("frames", SEGMENT, Windows(1.0, 0.5))
    for _ in range(100):
        list(stream.add(0.0, PICTURE))
    with pytest.raises(VideoDecodeError, match=r"the 101 frames of a window of 1 s are more than .* a shorter window"):
        list(stream.add(0.0, PICTURE))
    with pytest.raises(VideoDecodeError, match=r"its timestamps span 1e\+12 s"):
        list(stream.add(1e12, PICTURE))
