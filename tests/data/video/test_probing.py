"""What is said about a video: frames, size, rate, duration, windows of time; and that cut off files are found."""

import fractions

import av
import numpy as np
import pytest
import small_videos

from motion_vit.data.preparation.stream_copy import cut_video
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import VideoBytes
from motion_vit.data.video.probing import check_video, count_frames, frame_window, probe_video
from motion_vit.errors import UserError


@pytest.fixture(scope="module", params=["h264 with B-frames", "h264 in avi", "mpeg4 in avi", "vp9", "vp8", "hevc"])
def sample(request, tmp_path_factory):
    return small_videos.encode_sample(tmp_path_factory.mktemp("samples"), request.param), request.param


def test_a_video_is_described_by_what_it_holds(sample):
    path, name = sample
    info = probe_video(path)
    assert (info.frames, info.width, info.height) == (50, 64, 48)
    assert info.fps == pytest.approx(25, rel=0.01)
    assert info.duration == pytest.approx(2, abs=0.1)
    assert info.codec == name.split()[0]
    assert info == check_video(path) == probe_video(VideoBytes("copy", path.read_bytes()))
    assert count_frames(path) == 50


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ((0, None), (0, 50)),
        ((0, 1), (0, 25)),  # the frame at 1.0 s is not in [0, 1)
        ((1, 1.5), (25, 13)),  # frames 25 to 37 at 1.00 to 1.48 s
        ((0.5, 100), (13, 37)),  # from 0.52 s
        ((1.96, None), (49, 1)),
    ],
)
def test_a_window_holds_the_frames_shown_in_it(sample, window, expected):
    assert frame_window(sample[0], *window) == expected


def test_times_count_from_the_first_frame_wherever_the_clock_starts(tmp_path):
    path = small_videos.encode_sample(tmp_path, "h264 that starts late")
    with av.open(str(path)) as container:
        assert container.streams.video[0].start_time > 0
    assert frame_window(path, 0, 0.2) == (0, 5)


def test_frames_of_uneven_duration_are_found_by_their_own_times(tmp_path):
    path = tmp_path / "uneven.mkv"
    seconds = [0, 1, 1.1, 1.2, 5, 9]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for picture, time in zip(small_videos.moving_texture(6), seconds, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * 10), fractions.Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert frame_window(path, 1, 5) == (1, 3)
    assert frame_window(path, 4, None) == (4, 2)
    with pytest.raises(VideoDecodeError, match=r"no frame from 6 s to 8 s: its 6 frames end at 9\.000 s"):
        frame_window(path, 6, 8)


@pytest.mark.parametrize("window", [(-1, None), (2, 2), (2, 1)])
def test_an_impossible_window_is_refused(sample, window):
    with pytest.raises(UserError, match="a window of time must start at 0 s or later and end after its start"):
        frame_window(sample[0], *window)


def test_a_window_after_the_end_names_the_last_frame(sample):
    with pytest.raises(VideoDecodeError, match=r"no frame from 2.5 s: its 50 frames end at 1\.960 s"):
        frame_window(sample[0], 2.5, None)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov", ".ts"])
def test_tags_that_are_not_utf8_do_not_cost_the_video(tmp_path, suffix):
    path = tmp_path / f"tagged{suffix}"
    with av.open(str(path), "w") as container:
        for tag in ("title", "artist", "comment", "service_name"):
            container.metadata[tag] = "PLACEHOLDER"
        stream = container.add_stream("libx264", rate=25)
        for tag in ("title", "handler_name"):
            stream.metadata[tag] = "PLACEHOLDER"
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for picture in small_videos.moving_texture(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert b"PLACEHOLDER" in data
    # Letters of windows-1251, as old programs wrote them: no valid UTF-8.
    path.write_bytes(data.replace(b"PLACEHOLDER", bytes(range(0xE0, 0xEB))))
    info = check_video(path)
    assert info.frames == 25
    assert info.fps == pytest.approx(25)
    assert decode_frames(path, [0, 24]).shape == (2, 48, 64, 3)
    cut = cut_video(str(path), 0.2, 0.6)
    assert decode_frames(cut.video, [cut.first_frame]).shape == (1, 48, 64, 3)


def test_a_file_with_sound_only_is_reported(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoDecodeError, match="no video stream"):
        probe_video(path)


def _with_sound(path, encoder, picture_seconds, sound_seconds, sound, options=None):
    """A video with silent sound beside it, which may be longer."""
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream(encoder, rate=25, options={"g": "12"})
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        audio = container.add_stream(sound, rate=48000, layout="mono")
        packets = []
        for picture in small_videos.moving_texture(int(picture_seconds * 25)):
            packets += video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))
        packets += video.encode()
        size = audio.codec_context.frame_size or 960
        for number in range(int(sound_seconds * 48000 / size)):
            frame = av.AudioFrame(format=audio.codec_context.format, layout="mono", samples=size)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts = 48000, number * size
            packets += audio.encode(frame)
        packets += audio.encode()
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


@pytest.mark.parametrize(
    ("name", "encoder", "sound"),
    [("a.mp4", "libx264", "aac"), ("a.webm", "libvpx-vp9", "libopus"), ("a.mkv", "libx264", "aac")],
)
def test_sound_that_is_longer_than_the_picture_is_no_damage(tmp_path, name, encoder, sound):
    path = _with_sound(tmp_path / name, encoder, 2, 5, sound)
    info = check_video(path)
    assert info.frames == 50
    assert info.duration == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("with_sound", [False, True])
@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".mkv"])
@pytest.mark.parametrize("kept", [0.4, 0.85])
def test_a_file_that_was_cut_off_is_found_although_it_decodes(tmp_path, suffix, kept, with_sound):
    encoder, sound = ("libvpx-vp9", "libopus") if suffix == ".webm" else ("libx264", "aac")
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    path = _with_sound(tmp_path / f"whole{suffix}", encoder, 2, 2 if with_sound else 0, sound, options)
    data = path.read_bytes()
    assert check_video(VideoBytes("whole", data)).frames == 50
    cut = VideoBytes("cut", data[: int(len(data) * kept)])
    assert decode_frames(cut, [2]).shape == (1, 48, 64, 3)
    with pytest.raises(VideoDecodeError, match="cut"):
        check_video(cut)


def test_a_cut_off_file_says_how_much_is_left(tmp_path, write_video):
    path = write_video(tmp_path / "whole.mp4", small_videos.moving_texture(40))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(
        VideoDecodeError, match=r"cut\.mp4: the file is cut off: it promises 40 frames and \d+ are left"
    ):
        probe_video(cut)


def test_damage_in_the_middle_is_found_by_the_full_check(shared_clips):
    path = shared_clips / "decord_corrupted.mp4"
    with pytest.raises(VideoDecodeError, match=r"damaged.*after \d+ of 50 frames"):
        check_video(path)
    with pytest.raises(VideoDecodeError, match=r"decord_corrupted\.mp4"):
        decode_frames(path, [0, 49])


@pytest.mark.parametrize(
    ("name", "frames", "width", "height"),
    [
        ("mma_demo.mp4", 280, 340, 256),
        ("mma_rawvideo_part0.mp4", 32, 340, 256),
        ("mma_demo_std.mp4", 57, 340, 256),
        ("decord_flipping_a_pancake.mkv", 310, 426, 240),
        ("mma_test.avi", 164, 320, 240),
        ("tc_testsrc2_vp9.webm", 30, 1280, 720),
        ("tc_testsrc2_odd_height_and_width_vp9.mp4", 25, 321, 241),
        ("tc_test_non_zero_start.mp4", 12, 200, 112),
        ("decord_rot90.mov", 3, 320, 568),
    ],
)
def test_real_files_pass_the_full_check(shared_clips, name, frames, width, height):
    info = check_video(shared_clips / name)
    assert (info.frames, info.width, info.height) == (frames, width, height)


def test_the_address_of_a_video_is_named_as_one():
    with pytest.raises(VideoDecodeError, match="is an address, and only local paths"):
        probe_video("gs://bucket/clip.mp4")
