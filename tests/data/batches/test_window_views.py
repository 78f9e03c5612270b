"""Windows of a long video: each as if its part were read alone, every frame decoded once, few of them kept."""

import dataclasses

import av.error
import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.batches import window_views
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.batches.window_views import WindowReader, Windows
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.timeline import read_timeline

SEGMENT = ClipOptions(frames=4, size=16)
DENSE = ClipOptions(frames=3, size=16, sampling="dense", stride=2)
BY_TIME = ClipOptions(frames=3, size=16, sampling="dense", stride=2, fps=20.0)
# Frames of the video that all tests read, and its frames per second.
FRAMES, RATE = 61, 10


@pytest.fixture(scope="module")
def video(tmp_path_factory, write_video, numbered):
    return str(write_video(tmp_path_factory.mktemp("long") / "long.mp4", numbered(FRAMES), rate=RATE))


@pytest.mark.parametrize("options", [SEGMENT, DENSE, BY_TIME], ids=["segment", "dense", "by time"])
@pytest.mark.parametrize(
    "windows",
    [
        *(Windows(1.0, 0.25), Windows(0.7, 0.7), Windows(2.05, 0.333, start=0.41), Windows(1.0, 0.5, end=3.2)),
        *(Windows(0.15, 0.01, end=0.5), Windows(100.0, 1.0), Windows(3.0, 3.0, start=5.5)),
    ],
    ids=str,
)
def test_every_window_is_the_part_of_the_video_read_alone(video, options, windows):
    reader = WindowReader(video, options, windows, clips=2, crops=3)
    found = list(reader)
    assert len(found) == len(reader)
    assert found[0].start == windows.start
    end = min(FRAMES / RATE, windows.end or 100)
    for number, one in enumerate(found):
        assert one.start == pytest.approx(windows.start + number * windows.hop)
        assert one.end == pytest.approx(min(one.start + windows.seconds, end))
        assert (one.end == pytest.approx(end)) == (number == len(found) - 1)  # the first that reaches it is the last
        alone = clip_views(StoredClip("", 0, video, start=one.start, end=one.end), options, clips=2, crops=3)
        np.testing.assert_array_equal(one.views, alone)


@pytest.mark.parametrize("tenths", range(1, 7))
def test_windows_that_begin_at_a_frame_have_it_whatever_sums_of_floats_say(video, tenths):
    hop = tenths / RATE
    for number, one in enumerate(WindowReader(video, SEGMENT, Windows(hop, hop))):
        first = number * tenths
        assert one.start == first / RATE
        alone = StoredClip("", 0, video, start=first / RATE, end=(first + tenths) / RATE)
        np.testing.assert_array_equal(one.views, clip_views(alone, SEGMENT))


def test_a_video_whose_times_are_damaged_is_told_and_not_searched_for_ever(video, monkeypatch):
    damaged = dataclasses.replace(read_timeline(video), duration=4e9)
    monkeypatch.setattr(window_views, "read_timeline", lambda _: damaged)
    with pytest.raises(VideoDecodeError, match=r"its timestamps span 4e\+09 s; the file is damaged"):
        WindowReader(video, SEGMENT, Windows(1.0, 0.5))
    assert len(list(WindowReader(video, SEGMENT, Windows(1.0, 0.5, end=2.0)))) == 3


@pytest.mark.parametrize("windows", [Windows(1.0, 0.1), Windows(2.0, 2.0), Windows(1.0, 0.5, end=3.0)], ids=str)
def test_every_frame_is_decoded_once_and_few_are_kept(video, windows, monkeypatch):
    counts = {"decoded": 0, "converted": 0, "most kept": 0}
    decode, convert, views = window_views.decode_packet, window_views.RgbConverter.__call__, WindowReader._views

    def counting_decode(packet):
        frames = decode(packet)
        counts["decoded"] += len(frames)
        return frames

    def counting_convert(self, frame):
        counts["converted"] += 1
        return convert(self, frame)

    def counting_views(self, plan, kept):
        counts["most kept"] = max(counts["most kept"], len(kept))
        return views(self, plan, kept)

    monkeypatch.setattr(window_views, "decode_packet", counting_decode)
    monkeypatch.setattr(window_views.RgbConverter, "__call__", counting_convert)
    monkeypatch.setattr(WindowReader, "_views", counting_views)
    for _ in WindowReader(video, SEGMENT, windows):
        pass
    assert counts["converted"] <= counts["decoded"] <= FRAMES
    assert counts["most kept"] <= windows.seconds * RATE + 1


@pytest.mark.parametrize("error", [av.error.InvalidDataError(1, "bad"), ValueError("unheard of"), MemoryError()])
def test_a_video_that_breaks_gives_the_windows_before(video, monkeypatch, error):
    decode = window_views.decode_packet
    left = iter(range(40))

    def breaking(packet):
        if next(left, None) is None:
            raise error
        return decode(packet)

    monkeypatch.setattr(window_views, "decode_packet", breaking)
    windows = iter(WindowReader(video, SEGMENT, Windows(1.0, 0.5)))
    found = []
    with pytest.raises(VideoDecodeError):
        found.extend(windows)
    assert 0 < len(found) < 7


def test_a_video_that_ends_early_is_told(video, monkeypatch):
    decode = window_views.decode_packet
    monkeypatch.setattr(window_views, "decode_packet", lambda packet: decode(packet)[1:])
    with pytest.raises(VideoDecodeError, match=rf"only \d of its {FRAMES} frames can be decoded"):
        list(WindowReader(video, SEGMENT, Windows(1.0, 0.5)))


def test_what_has_no_times_or_no_frames_there_is_told(tmp_path, video):
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(VideoDecodeError, match="a sequence of JPEG files has no times, and windows are parts of time"):
        WindowReader(str(tmp_path), SEGMENT, Windows(1.0, 0.5))
    with pytest.raises(VideoDecodeError, match="it has no frame from 7 s"):
        WindowReader(video, SEGMENT, Windows(1.0, 0.5, start=7.0))
    with pytest.raises(VideoDecodeError, match="the file does not exist"):
        WindowReader("absent.mp4", SEGMENT, Windows(1.0, 0.5))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0.0, 0.0), "window is 0.0, but must be a number from 0.001"),
        ((1.0, float("nan")), "hop is nan, but must be"),
        ((1.0, 2.0), r"the hop, 2 s, is longer than the window, 1 s, .* choose a shorter hop"),
        ((1.0, 0.5, 3.0, 2.0), "must start at 0 s or later and end after its start"),
    ],
)
def test_windows_that_leave_something_out_are_refused(numbers, message):
    with pytest.raises(UserError, match=message):
        Windows(*numbers)


@pytest.mark.parametrize("window", ["2s", None, [1.0], True])
def test_a_window_that_is_no_number_is_refused_before_its_hop_is_made(window):
    with pytest.raises(UserError, match=r"window is .*, but must be a number from 0\.001"):
        Windows.of(window, None, 0.0, None)
