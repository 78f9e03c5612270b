"""The video with its timeline below: every frame at its time, and the label that holds then."""

import dataclasses
import pathlib
from collections.abc import Callable

import av
import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.cli import prediction as command
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoding import VIDEO_SUFFIXES, write_video
from motion_vit.data.video.probing import probe_video
from motion_vit.training.inference.segments import Segment
from motion_vit.training.inference.timeline import VideoTimeline
from motion_vit.visualization import timeline_video
from motion_vit.visualization.timeline_video import write_timeline_video

# Height of what is drawn below the picture, and of the strip at its bottom.
BAND, STRIP = timeline_video._TEXT_HEIGHT + timeline_video._STRIP_HEIGHT, timeline_video._STRIP_HEIGHT
SEGMENTS = (Segment(0.0, 1.0, "walking $x$ \x1b", 0.9), Segment(2.0, 3.0, "sitting down", 0.6))


@pytest.fixture(scope="module")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> VideoTimeline:
    """Of a video of three seconds that gets brighter."""
    path = tmp_path_factory.mktemp("video") / "in.mp4"
    levels = np.linspace(20, 220, 30).astype(np.uint8)
    write_video(path, np.broadcast_to(levels[:, None, None, None], (30, 48, 64, 3)), fps=10)
    return VideoTimeline(str(path), SEGMENTS, start=0.0, end=3.0, windows=5)


def frames_of(path: pathlib.Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_every_frame_keeps_its_time_and_has_the_label_that_holds(
    timeline: VideoTimeline, tmp_path: pathlib.Path, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    write_timeline_video(timeline, out)
    frames = frames_of(out)
    assert [round(time, 2) for time, _ in frames] == [round(0.1 * number, 2) for number in range(30)]
    for number, (time, picture) in enumerate(frames):
        height = picture.shape[0] - BAND
        assert (height, picture.shape[1]) == (240, 320)  # enlarged, so that the text can be read
        assert picture[:height].mean() == pytest.approx(20 + 200 * number / 29, abs=6)
        text = picture[height:-STRIP]
        assert (text.max() > 150) == (not 1.0 <= time < 2.0)  # no label, no text
    one, other = (frames[number][1][-BAND:-STRIP].astype(int) for number in (3, 25))
    assert np.abs(one - other).mean() > 5
    # The place moves over the strip.
    places = [int(picture[-STRIP // 2].astype(int).sum(axis=1)[100:220].argmax()) for _, picture in frames[12:18]]
    assert places == sorted(set(places))


def test_only_the_part_that_was_looked_at_is_written(timeline: VideoTimeline, tmp_path: pathlib.Path) -> None:
    part = VideoTimeline(timeline.path, SEGMENTS[1:], start=1.5, end=2.5, windows=1)
    write_timeline_video(part, tmp_path / "out.mp4")
    frames = frames_of(tmp_path / "out.mp4")
    assert len(frames) == 10
    assert frames[0][0] == 0
    assert probe_video(str(tmp_path / "out.mp4")).fps == pytest.approx(10)


def test_uneven_times_are_kept(tmp_path: pathlib.Path, write_uneven: Callable[[pathlib.Path], list[float]]) -> None:
    times = write_uneven(tmp_path / "in.mkv")
    write_timeline_video(VideoTimeline(str(tmp_path / "in.mkv"), (), end=10.0, windows=1), tmp_path / "out.mp4")
    assert [time for time, _ in frames_of(tmp_path / "out.mp4")] == pytest.approx(times, abs=2e-3)


@pytest.fixture
def write_uneven() -> Callable[[pathlib.Path], list[float]]:
    """Writes a video whose frames come in uneven distances, and returns their times."""

    def write(path: pathlib.Path) -> list[float]:
        times = [0.0, 0.04, 0.2, 0.24, 0.92, 1.0]
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for number, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * number, np.uint8), format="rgb24")
                frame.pts = round(25 * time)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return times

    return write


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
@pytest.mark.parametrize("same", [(0, 1), (4, 5, 6), (28, 29), tuple(range(30))], ids=str)
def test_of_frames_at_one_time_the_last_is_seen(
    timeline: VideoTimeline, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, suffix: str, same: tuple[int, ...]
) -> None:
    read = timeline_video.read_timeline(timeline.path)
    times = [time if number not in same else same[0] / 10 for number, time in enumerate(read.times or ())]
    monkeypatch.setattr(timeline_video, "read_timeline", lambda _: dataclasses.replace(read, times=tuple(times)))
    write_timeline_video(timeline, tmp_path / f"out{suffix}")
    frames = frames_of(tmp_path / f"out{suffix}")
    assert [time for time, _ in frames] == pytest.approx(sorted(set(times)), abs=2e-3)
    (last,) = [picture for time, picture in frames if time == pytest.approx(same[0] / 10, abs=2e-3)]
    assert last[:-BAND].mean() == pytest.approx(20 + 200 * same[-1] / 29, abs=6)


def test_a_video_that_breaks_is_written_up_to_there(
    timeline: VideoTimeline, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = timeline_video.decode_packet
    left = iter(range(21))  # one for the size of the picture

    def breaking(packet: av.Packet) -> list[av.VideoFrame]:
        if next(left, None) is None:
            raise av.error.InvalidDataError(1, "bad")
        return decode(packet)

    monkeypatch.setattr(timeline_video, "decode_packet", breaking)
    broken = dataclasses.replace(timeline, error="the file is damaged", end=2.5)
    write_timeline_video(broken, tmp_path / "out.mp4")
    assert 15 < len(frames_of(tmp_path / "out.mp4")) <= 20
    with pytest.raises(VideoDecodeError):
        write_timeline_video(timeline, tmp_path / "whole.mp4")
    assert not (tmp_path / "whole.mp4").exists()


def test_the_video_itself_is_not_written_over(timeline: VideoTimeline, tmp_path: pathlib.Path) -> None:
    before = pathlib.Path(timeline.path).read_bytes()
    link = tmp_path / "link.mp4"
    link.symlink_to(timeline.path)
    for path in (timeline.path, link):
        with pytest.raises(UserError, match="is the video itself, which is not written over"):
            write_timeline_video(timeline, path)
    with pytest.raises(UserError, match=r"must end in one of \.mp4, \.webm"):
        write_timeline_video(timeline, tmp_path / "out.avi")
    assert pathlib.Path(timeline.path).read_bytes() == before


def test_the_command_names_the_endings_that_can_be_written() -> None:
    assert command._RENDERED == VIDEO_SUFFIXES
