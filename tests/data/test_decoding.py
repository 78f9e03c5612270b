"""Decoding: the right frames in the right order, upright, and every broken file named with its reason."""

import pathlib
import pickle

import av
import numpy as np
import pytest

from motion_vit.data import decoding
from motion_vit.data.decoding import VideoDecodeError, check_video, count_frames, decode_frames, probe_video


@pytest.fixture(scope="module", params=[".mp4", ".mkv", ".webm", ".avi"])
def long_video(request, tmp_path_factory, write_video, numbered):
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(request.param, "libx264")
    path = tmp_path_factory.mktemp("long") / f"long{request.param}"
    return write_video(path, numbered(110), codec=codec, gop=10)


@pytest.fixture(scope="module")
def short_video(tmp_path_factory, write_video, numbered):
    return write_video(tmp_path_factory.mktemp("short") / "short.mp4", numbered(20))


@pytest.mark.parametrize("indices", [[0], [3, 4, 5], [7, 2, 2, 11], [60, 75, 90], [109, 88], [0, 109]])
def test_frames_come_back_in_the_order_asked_wherever_decoding_starts(long_video, numbers_of, indices):
    clip = decode_frames(long_video, indices)
    assert clip.dtype == np.uint8
    assert clip.shape == (len(indices), 24, 32, 3)
    assert numbers_of(clip) == [index % 40 for index in indices]


def test_a_late_clip_starts_at_a_keyframe_and_equals_the_one_decoded_from_the_start(
    short_video, long_video, monkeypatch
):
    late = decode_frames(long_video, [95, 97])
    monkeypatch.setattr(decoding, "_SEEK_SAVES_FRAMES", 10_000)
    np.testing.assert_array_equal(late, decode_frames(long_video, [95, 97]))


def test_seeking_skips_the_frames_before_the_keyframe(tmp_path, write_video, numbered, monkeypatch):
    path = write_video(tmp_path / "v.mp4", numbered(110), gop=10)
    yielded = []
    walk = decoding._frames_from

    def counting(*args):
        for item in walk(*args):
            yielded.append(item[0])
            yield item

    monkeypatch.setattr(decoding, "_frames_from", counting)
    decode_frames(path, [95])
    assert min(yielded) >= 80
    assert max(yielded) == 95


def test_a_video_is_described_by_what_it_holds(long_video):
    info = probe_video(long_video)
    assert (info.frames, info.width, info.height) == (110, 32, 24)
    assert info.fps == pytest.approx(12, rel=0.01)
    assert info.duration == pytest.approx(110 / 12, rel=0.02)
    assert count_frames(long_video) == check_video(long_video).frames == 110


@pytest.mark.parametrize(("rotation", "corner"), [(90, "lower left"), (-90, "upper right"), (180, "lower right")])
def test_a_rotated_video_comes_out_upright(tmp_path, write_video, numbered, rotation, corner):
    path = write_video(tmp_path / "turned.mp4", numbered(3), rotation=rotation)
    clip = decode_frames(path, [0])
    info = probe_video(path)
    assert clip.shape[1:3] == ((24, 32) if rotation == 180 else (32, 24)) == (info.height, info.width)
    rows = slice(20, None) if "lower" in corner else slice(0, 8)
    columns = slice(16, None) if "right" in corner else slice(0, 8)
    assert clip[0, rows, columns].mean() > clip.mean() + 5


def test_odd_sizes_are_kept(tmp_path, write_video, numbered, numbers_of):
    clip = decode_frames(write_video(tmp_path / "odd.mp4", numbered(6, 25, 33)), [5, 1])
    assert clip.shape == (2, 25, 33, 3)
    assert numbers_of(clip) == [5, 1]


def test_colours_come_out_as_red_green_blue(tmp_path, write_video):
    frames = np.zeros((2, 24, 48, 3), np.uint8)
    for channel in range(3):
        frames[:, :, channel * 16 : channel * 16 + 16, channel] = 200
    clip = decode_frames(write_video(tmp_path / "rgb.mp4", frames), [0]).astype(int)
    for channel in range(3):
        colour = clip[0, 4:-4, channel * 16 + 4 : channel * 16 + 12].mean((0, 1))
        assert colour[channel] > 170
        assert colour.sum() - colour[channel] < 60


def test_large_frames_are_reduced_to_the_short_side_and_small_ones_left(short_video):
    assert decode_frames(short_video, [0], short_side=12).shape == (1, 12, 16, 3)
    assert decode_frames(short_video, [0], short_side=100).shape == (1, 24, 32, 3)


def test_asking_for_a_frame_that_is_not_there_says_how_many_there_are(short_video):
    with pytest.raises(VideoDecodeError, match=r"short\.mp4.*frame 25 was asked for and the video has 20 frames"):
        decode_frames(short_video, [3, 25])


@pytest.mark.parametrize("indices", [[], [-1, 2]])
def test_impossible_frame_numbers_are_refused(short_video, indices):
    with pytest.raises(ValueError, match="indices"):
        decode_frames(short_video, indices)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "does not exist"), (b"", "damaged or is not a video"), (b"path,label\n" * 30, "damaged or is not a video")],
)
def test_a_file_that_is_no_video_is_reported_with_its_path(tmp_path, content, reason):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    for read in (count_frames, probe_video, check_video, lambda file: decode_frames(file, [0])):
        with pytest.raises(VideoDecodeError, match=rf"clip\.mp4.*{reason}"):
            read(path)


def test_a_file_with_sound_only_is_reported(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoDecodeError, match="no video stream"):
        probe_video(path)


def test_a_cut_off_file_says_how_much_is_left(tmp_path, write_video):
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "whole.mp4", noise).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoDecodeError, match=r"cut\.mp4.*promises 40 frames and (1\d|2\d) are left"):
        probe_video(cut)
    with pytest.raises(VideoDecodeError, match=r"cut\.mp4"):
        decode_frames(cut, [39])
    assert decode_frames(cut, [2]).shape == (1, 48, 64, 3)


def test_damage_in_the_middle_is_found_by_the_full_check(shared_clips):
    path = shared_clips / "decord_corrupted.mp4"
    with pytest.raises(VideoDecodeError, match=r"damaged.*after \d+ of 50 frames"):
        check_video(path)
    with pytest.raises(VideoDecodeError, match=r"decord_corrupted\.mp4"):
        decode_frames(path, [0, 49])


def test_the_error_travels_between_processes(tmp_path: pathlib.Path):
    error = pickle.loads(pickle.dumps(VideoDecodeError(tmp_path / "a.mp4", "broken")))
    assert (error.path, error.reason) == (str(tmp_path / "a.mp4"), "broken")


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
def test_real_files_decode_from_their_first_to_their_last_frame(shared_clips, name, frames, width, height):
    path = shared_clips / name
    info = check_video(path)
    assert (info.frames, info.width, info.height) == (frames, width, height)
    clip = decode_frames(path, [frames - 1, 0, frames // 2])
    assert clip.shape == (3, height, width, 3)
    for position, index in enumerate([frames - 1, 0, frames // 2]):
        np.testing.assert_array_equal(clip[position], decode_frames(path, [index])[0])
