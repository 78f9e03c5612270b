"""Frames of files that grow while they are read, and of containers that the caller opened."""

import pathlib
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from small_videos import ENCODINGS, Encoding, decode_all, encode, moving_texture

from motion_vit import UserError
from motion_vit.data.batches.frame_clock import end_of
from motion_vit.data.streams.frame_source import frame_source
from motion_vit.data.video.timeline import read_timeline

_X264 = ENCODINGS["h264 without B-frames"].options
GROWING = {
    "transport stream": Encoding(".ts", "libx264", _X264),
    "fragmented mp4": Encoding(
        ".mp4", "libx264", _X264, container={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    ),
    "matroska": Encoding(".mkv", "libx264", _X264),
}


@pytest.mark.fast_cases("fragmented mp4")
@pytest.mark.parametrize("form", GROWING)
def test_frames_come_while_the_file_grows(form: str, tmp_path: pathlib.Path) -> None:
    encoding = GROWING[form]
    whole = encode(tmp_path / f"whole{encoding.suffix}", encoding, moving_texture(100))
    data = whole.read_bytes()
    path = tmp_path / f"growing{encoding.suffix}"
    path.touch()
    half_seen, written = threading.Event(), threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            for number, start in enumerate(range(0, len(data), len(data) // 20)):
                if number == 15:
                    half_seen.wait(10)
                time.sleep(0.002)
                file.write(data[start : start + len(data) // 20])
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    for frame in frame_source(path, wait=1.0).frames(100):
        seen.append(frame)
        if len(seen) == 30:
            assert not written.is_set()
            half_seen.set()
    writer.join()
    np.testing.assert_array_equal([frame.picture for frame in seen], decode_all(whole))
    np.testing.assert_allclose([frame.seconds for frame in seen], np.arange(100) / 25, atol=1e-3)


def test_a_file_that_stays_empty_or_is_absent_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.ts").touch()
    for wait in (0.0, 0.1):
        with pytest.raises(UserError, match="it is empty"):
            list(frame_source(tmp_path / "empty.ts", wait=wait).frames(100))
        with pytest.raises(UserError, match="the file does not exist"):
            list(frame_source(tmp_path / "absent.ts", wait=wait).frames(100))


def test_the_end_of_a_file_is_waited_for_once(transport_stream: pathlib.Path) -> None:
    start = time.monotonic()
    assert len(list(frame_source(transport_stream, wait=2.0).frames(100))) > 40
    assert 2.0 <= time.monotonic() - start < 3.9


def test_a_growing_playlist_is_not_followed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "list.ts"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(UserError, match=r"it is a playlist \(M3U\), which is not followed"):
        list(frame_source(path, wait=0.1).frames(100))


def test_a_growing_mp4_without_fragments_is_told(tmp_path: pathlib.Path) -> None:
    whole = encode(tmp_path / "whole.mp4", ENCODINGS["h264 with B-frames"], moving_texture(10))
    path = tmp_path / "growing.mp4"
    path.write_bytes(whole.read_bytes()[:1500])
    with pytest.raises(UserError, match="its index, which MP4 and MOV files have at their end, is missing"):
        list(frame_source(path, wait=0.1).frames(100))


@pytest.mark.parametrize("form", ["h264 with B-frames", "fragmented mp4", "index first"])
def test_a_whole_mp4_that_comes_in_order_is_read_unless_its_index_is_last(form: str, tmp_path: pathlib.Path) -> None:
    first = Encoding(".mp4", "libx264", _X264, container={"movflags": "faststart"})
    encoding = {**ENCODINGS, **GROWING, "index first": first}[form]
    source = frame_source(encode(tmp_path / "whole.mp4", encoding, moving_texture(10)), wait=0.1)
    if form in ENCODINGS:
        with pytest.raises(UserError, match="its index, which MP4 and MOV files have at their end, is missing"):
            list(source.frames(100))
    else:
        assert len(list(source.frames(100))) == 10


def test_a_folder_is_told_to_be_one(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="it is a folder; give a video file"):
        list(frame_source(tmp_path).frames(100))


@pytest.mark.parametrize("rate", [12, 24, 30, Fraction(30000, 1001)], ids=str)
@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4", ".avi"])
def test_the_last_frame_ends_where_the_timeline_does(suffix: str, rate: int | Fraction, tmp_path: pathlib.Path) -> None:
    path = tmp_path / f"video{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for picture in np.zeros((23, 32, 32, 3), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    *_, last = frame_source(path).frames(100)
    timeline = read_timeline(str(path))
    # Windows take halves of a microsecond for nothing.
    assert last.seconds + last.duration == pytest.approx(end_of(timeline, timeline.frames), abs=4e-7)


def write_avi_that_stands_still(path: pathlib.Path, frames: int) -> None:
    """Writes MPEG-4 whose frames are followed by 0, 1, 2, 0, ... packets that say "not coded": nothing has changed."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        pictures = np.random.default_rng(0).integers(0, 256, (frames, 64, 64, 3), np.uint8)
        coded = [
            packet for one in pictures for packet in stream.encode(av.VideoFrame.from_ndarray(one, format="rgb24"))
        ]
        number = 0
        for place, packet in enumerate([*coded, *stream.encode()]):
            for still in range(1 + place % 3):
                # A VOP of type P whose bit vop_coded is 0; its time has four bits.
                shown = av.Packet(bytes([0, 0, 1, 0xB6, 0x50 | number % 10, 0x9F])) if still else packet
                shown.stream, shown.time_base = stream, packet.time_base
                shown.pts = shown.dts = number
                container.mux(shown)
                number += 1


def test_frames_that_stay_while_packets_change_nothing_have_their_times(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "still.avi"
    write_avi_that_stands_still(path, 10)
    found = [frame.seconds for frame in frame_source(path).frames(100)]
    np.testing.assert_allclose(found, np.array([0, 1, 3, 6, 7, 9, 12, 13, 15, 18]) / 10)
    np.testing.assert_allclose(found, read_timeline(str(path)).times)


def test_interrupting_ends_the_wait_for_more_bytes(transport_stream: pathlib.Path) -> None:
    source = frame_source(transport_stream, wait=60.0)
    frames = source.frames(100)
    assert next(frames).seconds == 0.0
    threading.Timer(0.2, source.interrupt).start()
    start = time.monotonic()
    assert sum(1 for _ in frames) > 10
    assert time.monotonic() - start < 10


def test_an_open_container_is_read_from_where_it_is_and_closed(
    transport_stream: pathlib.Path, pictures: np.ndarray
) -> None:
    container = av.open(str(transport_stream))
    next(container.decode(video=0))
    found = list(frame_source(container).frames(100))
    assert len(pictures) - 5 <= len(found) < len(pictures)
    assert found[0].seconds == 0.0
    assert not container.input_was_opened
