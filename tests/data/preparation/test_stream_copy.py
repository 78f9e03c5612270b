"""Parts of long videos: cut without encoding, frame for frame those of the whole video."""

import fractions
import itertools

import av
import numpy as np
import pytest

from motion_vit.data.preparation.stream_copy import cut_video
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.probing import frame_window

RATE = 25
# File name, encoder, its options, largest number of consecutive B-frames.
ENCODINGS = {
    "b_frames.mp4": ("libx264", {}, 3),
    "open_gop.mp4": ("libx264", {"x264-params": "open-gop=1:b-pyramid=normal:bframes=5"}, 5),
    "open_gop.mkv": ("libx264", {"x264-params": "open-gop=1:b-pyramid=normal:bframes=5"}, 5),
    "stream.ts": ("libx264", {}, 2),
    "h264.avi": ("libx264", {}, 2),
    "mpeg4.avi": ("mpeg4", {}, 2),
    "hidden_frames.webm": ("libvpx-vp9", {"deadline": "good", "cpu-used": "8", "lag-in-frames": "16"}, 0),
    "hidden_frames_vp8.webm": ("libvpx", {"deadline": "good", "cpu-used": "8", "auto-alt-ref": "1"}, 0),
}


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory):
    """A folder with a panning picture of noise of 100 frames in each encoding."""
    folder = tmp_path_factory.mktemp("long")
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 3)).astype(np.uint8)
    for name, (codec, options, b_frames) in ENCODINGS.items():
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=RATE, options=options)
            stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
            stream.codec_context.gop_size = 12
            stream.codec_context.max_b_frames = b_frames
            for shift in range(100):
                picture = np.roll(noise, shift, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
    return folder


def assert_cut_like_the_whole(path, start, end):
    first, frames = frame_window(path, start, end)
    cut = cut_video(str(path), start, end)
    assert cut.frames == frames
    expected = decode_frames(path, range(first, first + frames))
    np.testing.assert_array_equal(decode_frames(cut.video, np.arange(frames) + cut.first_frame), expected)
    return cut


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.96, 1.7), (1.3, 1.36), (2.9, None), (3.5, 9.0)])
def test_a_part_has_exactly_the_frames_of_the_whole(long_videos, name, start, end):
    assert_cut_like_the_whole(long_videos / name, start, end)


def test_a_part_takes_little_more_than_its_own_bytes(long_videos):
    path = long_videos / "b_frames.mp4"
    cut = cut_video(str(path), 1.0, 1.2)
    assert len(cut.video.data) < path.stat().st_size / 3
    assert cut == cut_video(str(path), 1.0, 1.2)


def test_parts_that_follow_each_other_share_no_frame_and_lose_none(long_videos):
    edges = [0.0, 0.33, 1.5, 2.08, 4.0]
    cuts = [cut_video(str(long_videos / "b_frames.mp4"), *part).frames for part in itertools.pairwise(edges)]
    assert sum(cuts) == 100


def write_frames(path, codec, times):
    """Frames of a flat grey each, shown at these frame times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 6, 0
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, fractions.Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ["rawvideo", "utvideo", "ffv1"])
def test_what_a_copy_of_the_packets_loses_is_encoded_anew(codec, tmp_path):
    path = write_frames(tmp_path / "whole.avi", codec, range(40))
    cut = cut_video(str(path), 0.5, 1.1)
    first, frames = frame_window(path, 0.5, 1.1)
    assert cut.frames == frames
    expected = decode_frames(path, range(first, first + frames)).astype(int)
    found = decode_frames(cut.video, np.arange(frames) + cut.first_frame).astype(int)
    assert np.abs(found - expected).max() <= 3


def test_a_gap_in_the_times_is_no_end_of_the_file(tmp_path):
    path = write_frames(tmp_path / "gap.mkv", "libx264", [*range(20), *range(90_000, 90_020)])
    assert cut_video(str(path), 0.4, 1.5).frames == 10


def test_a_turned_video_stays_turned(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "turned.mp4", numbered(40, 32, 48), rotation=90)
    cut = assert_cut_like_the_whole(path, 1.0, 2.0)
    assert decode_frames(cut.video, [cut.first_frame]).shape == (1, 48, 32, 3)


def test_rate_and_end_are_those_of_the_published_video(long_videos):
    assert cut_video(str(long_videos / "b_frames.mp4"), 1.0, 1.2).fps == RATE
    assert cut_video(str(long_videos / "b_frames.mp4"), 1.0, 1.2).end == 1.2
    assert cut_video(str(long_videos / "b_frames.mp4"), 3.0, None).end == pytest.approx(4.0)


def test_a_part_after_the_end_is_named(long_videos):
    with pytest.raises(VideoDecodeError, match=r"no frame from 7 s to 8 s: it lasts 4\.000 s"):
        cut_video(str(long_videos / "b_frames.mp4"), 7.0, 8.0)


def test_a_part_beyond_where_a_file_was_cut_off_is_refused(tmp_path, write_video, numbered):
    whole = write_video(tmp_path / "whole.mp4", numbered(96)).read_bytes()
    cut_off = tmp_path / "cut_off.mp4"
    cut_off.write_bytes(whole[: len(whole) * 6 // 10])
    assert cut_video(str(cut_off), 0.0, 1.0).frames == 12
    with pytest.raises(VideoDecodeError):
        cut_video(str(cut_off), 3.0, 7.0)


@pytest.mark.parametrize(
    "name",
    [
        "decord_flipping_a_pancake.mkv",
        "decord_rot90.mov",
        "mma_demo.mp4",
        "mma_test.avi",
        "tc_test_non_zero_start.mp4",
        "tc_testsrc2_vp9.webm",
    ],
)
def test_parts_of_real_videos_have_exactly_the_frames_of_the_whole(shared_clips, name):
    assert_cut_like_the_whole(shared_clips / name, 0.0, 0.06)
    if name != "decord_rot90.mov":  # it lasts 0.1 s
        assert_cut_like_the_whole(shared_clips / name, 0.2, 0.6)
