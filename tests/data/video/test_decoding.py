"""Decoding: the right frames in the right order, upright, and every broken file named with its reason."""

import pathlib
import pickle

import av
import numpy as np
import pytest
import small_videos

from motion_vit.data.video import container as video_container
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import VideoBytes
from motion_vit.data.video.probing import check_video, count_frames, probe_video


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


def _turned_by_matrix(path, clip, matrix):
    """Encodes a clip with a display matrix of whole numbers (a, b, c, d): (x, y) is shown at (a x + c y, b x + d y)."""
    a, b, c, d = matrix
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "10"})
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.set_display_matrix([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30])
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    "matrix",
    [
        (1, 0, 0, 1),
        (0, 1, -1, 0),
        (-1, 0, 0, -1),
        (0, -1, 1, 0),
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, -1, -1, 0),
    ],
    ids=["upright", "90", "180", "270", "mirrored", "upside down", "transposed", "transversed"],
)
def test_a_turned_or_mirrored_video_comes_out_upright(tmp_path, matrix):
    height, width = 32, 48
    stored = np.zeros((2, height, width, 3), np.uint8)
    stored[:, 4:8, 4:8] = 250  # one bright square, off every axis of symmetry
    path = _turned_by_matrix(tmp_path / "turned.mp4", stored, matrix)
    clip, info = decode_frames(path, [1]), probe_video(path)
    a, b, c, d = matrix
    size = (width, height) if a else (height, width)
    assert (info.width, info.height) == size == clip.shape[2:0:-1]
    # The matrix moves the picture about the origin; the shown picture starts at its least coordinates.
    x, y = a * 6 + c * 6, b * 6 + d * 6
    x, y = x if x > 0 else size[0] + x, y if y > 0 else size[1] + y
    bright = clip[0].mean(-1) > 128
    rows, columns = np.nonzero(bright)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x, y), abs=0.6)


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
    [(None, "does not exist"), (b"", "it is empty"), (b"path,label\n" * 30, "it is a text, not a video")],
)
def test_a_file_that_is_no_video_is_reported_with_its_path(tmp_path, content, reason):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    for read in (count_frames, probe_video, check_video, lambda file: decode_frames(file, [0])):
        with pytest.raises(VideoDecodeError, match=rf"clip\.mp4.*{reason}"):
            read(path)


def test_a_cut_off_file_gives_the_frames_that_are_left(tmp_path, write_video):
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "whole.mp4", noise).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    assert decode_frames(cut, [2]).shape == (1, 48, 64, 3)
    with pytest.raises(VideoDecodeError, match=r"cut\.mp4"):
        decode_frames(cut, [39])


def test_a_file_name_with_a_colon_is_no_address(tmp_path, write_video, numbered, numbers_of, monkeypatch):
    write_video(tmp_path / "plain.mp4", numbered(3)).rename(tmp_path / "http:one.mp4")
    monkeypatch.chdir(tmp_path)
    assert numbers_of(decode_frames("http:one.mp4", [2])) == [2]


def test_bytes_decode_as_their_file_and_errors_carry_their_name(short_video):
    data = short_video.read_bytes()
    np.testing.assert_array_equal(decode_frames(VideoBytes("a clip", data), [7, 2]), decode_frames(short_video, [7, 2]))
    with pytest.raises(VideoDecodeError, match="the video a clip: frame 25"):
        decode_frames(VideoBytes("a clip", data), [25])
    with pytest.raises(VideoDecodeError, match="the video a clip: the file is damaged or is not a video"):
        decode_frames(VideoBytes("a clip", data[8:100]), [0])


def test_pictures_with_too_many_pixels_are_refused_before_they_are_allocated(short_video, monkeypatch):
    monkeypatch.setattr(video_container, "MAX_PIXELS", 700)
    with pytest.raises(VideoDecodeError, match=r"pictures of 32x24 pixels, which is more than the 700"):
        decode_frames(short_video, [0])


def test_a_stream_that_claims_huge_pictures_in_a_small_container_is_refused(tmp_path):
    data = bytearray(small_videos.encode_sample(tmp_path, "vp8").read_bytes())
    size = data.index(b"\x9d\x01\x2a") + 3  # the start code of a keyframe, then width and height (RFC 6386, 9.1)
    data[size : size + 4] = (16383).to_bytes(2, "little") * 2
    with pytest.raises(VideoDecodeError, match="pictures have more than 67108864 pixels"):
        decode_frames(VideoBytes("huge", bytes(data)), [0])


def test_the_error_travels_between_processes(tmp_path: pathlib.Path):
    error = pickle.loads(pickle.dumps(VideoDecodeError(tmp_path / "a.mp4", "broken")))
    assert (error.name, error.reason) == (str(tmp_path / "a.mp4"), "broken")
