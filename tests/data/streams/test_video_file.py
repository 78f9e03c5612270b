"""Frames of files that grow while they are read, and of containers that the caller opened."""

import pathlib
import threading
import time

import av
import numpy as np
import pytest
from small_videos import ENCODINGS, Encoding, decode_all, encode, moving_texture

from motion_vit import UserError
from motion_vit.data.streams.frame_source import frame_source

_X264 = ENCODINGS["h264 without B-frames"].options
GROWING = {
    "transport stream": Encoding(".ts", "libx264", _X264),
    "fragmented mp4": Encoding(
        ".mp4", "libx264", _X264, container={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    ),
    "matroska": Encoding(".mkv", "libx264", _X264),
}


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
