"""The codec h264-fast: every frame, upright, small, with keyframes close together and no B-frames."""

import fractions
import io

import av
import numpy as np
import pytest

from motion_vit.data.preparation.h264_fast import encode_h264_fast
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import VideoBytes
from motion_vit.data.video.probing import frame_times, probe_video


def test_every_frame_is_kept_in_order(tmp_path, write_video, numbered, numbers_of):
    path = write_video(tmp_path / "v.mp4", numbered(30, 32, 48))
    encoded = VideoBytes("v", encode_h264_fast(path, 7, 20, 12.0))
    assert numbers_of(decode_frames(encoded, range(20))) == list(range(7, 27))
    assert probe_video(encoded).frames == 20


def test_pictures_stay_close_to_the_original(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "v.mp4", numbered(10, 32, 48))
    encoded = VideoBytes("v", encode_h264_fast(path, 0, 10, 12.0))
    difference = decode_frames(encoded, range(10)).astype(int) - decode_frames(path, range(10))
    assert np.abs(difference).mean() < 2.0


def test_keyframes_are_close_together_and_nothing_is_reordered(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "v.mp4", numbered(40, 32, 48), gop=40)
    with av.open(io.BytesIO(encode_h264_fast(path, 0, 40, 12.0))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keyframes = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    assert keyframes[0] == 0
    assert max(np.diff([*keyframes, 40])) <= 12
    times = [packet.pts for packet in packets]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(270, 480, (256, 456)), (24, 32, (24, 32)), (31, 45, (32, 46))]
)
def test_large_pictures_shrink_small_ones_stay_and_odd_ones_are_padded(
    tmp_path, write_video, numbered, height, width, expected
):
    path = write_video(tmp_path / "v.mkv", numbered(3, height, width))
    assert decode_frames(VideoBytes("v", encode_h264_fast(path, 0, 3, 12.0)), [0]).shape[1:3] == expected


def test_turned_videos_are_stored_upright(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "v.mp4", numbered(6, 32, 48), rotation=90)
    encoded = VideoBytes("v", encode_h264_fast(path, 0, 6, 12.0))
    upright = decode_frames(path, range(6)).astype(int)
    assert upright.shape[1:3] == (48, 32)
    assert np.abs(decode_frames(encoded, range(6)) - upright).mean() < 3.0


@pytest.mark.parametrize("fps", [12.0, 30000 / 1001, 14.985, 59.94])
def test_the_rate_is_kept(tmp_path, write_video, numbered, fps):
    rate = fractions.Fraction(fps).limit_denominator(1001)
    path = write_video(tmp_path / "v.mp4", numbered(6, 32, 48), rate=rate)
    assert probe_video(VideoBytes("v", encode_h264_fast(path, 0, 6, fps))).fps == pytest.approx(fps, rel=1e-4)


def test_a_rate_that_is_a_little_off_does_not_move_frames_in_time(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "v.mp4", numbered(60, 32, 48))
    encoded = VideoBytes("v", encode_h264_fast(path, 10, 50, 12.5))
    np.testing.assert_allclose(frame_times(encoded), np.arange(50) / 12, atol=1e-3)


def test_long_videos_are_encoded_in_passes_without_a_seam(tmp_path, write_video, numbered, numbers_of):
    path = write_video(tmp_path / "v.mp4", numbered(520, 24, 32))
    encoded = VideoBytes("v", encode_h264_fast(path, 0, 520, 12.0))
    assert numbers_of(decode_frames(encoded, range(250, 262))) == [number % 40 for number in range(250, 262)]
    assert probe_video(encoded).frames == 520


def test_frames_that_are_not_there_are_named(tmp_path, write_video, numbered):
    path = write_video(tmp_path / "v.mp4", numbered(6, 32, 48))
    with pytest.raises(VideoDecodeError, match="the video has 6 frames"):
        encode_h264_fast(path, 0, 9, 12.0)
