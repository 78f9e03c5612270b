"""Clips of JPEG and PNG files: any frames, from a folder or from memory, as the videos' own; every damage named."""

import os
import random

import cv2
import numpy as np
import pytest
import small_videos

from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import JpegFrames
from motion_vit.data.video.jpeg_frames import frame_doubts
from motion_vit.data.video.probing import check_video, count_frames, frame_window, probe_video


def _jpeg(picture, *options):
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95, *options])[1].tobytes()


def _smooth(frames=6, height=100, width=176):
    """Frames of a red ramp to the right, a green ramp downwards, and a blue that tells the frame."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip[..., 0] = np.linspace(0, 250, width)
    clip[..., 1] = np.linspace(0, 250, height)[:, None]
    clip[..., 2] = (40 * np.arange(frames))[:, None, None]
    return clip


@pytest.fixture(scope="module")
def clip():
    return _smooth()


@pytest.fixture(scope="module")
def bundle(clip):
    return JpegFrames("12345", tuple(map(_jpeg, clip)))


def test_frames_come_back_in_the_order_asked_as_red_green_blue(clip, bundle):
    decoded = decode_frames(bundle, [4, 0, 4, 5])
    assert decoded.dtype == np.uint8
    assert decoded.shape == (4, 100, 176, 3)
    assert np.abs(decoded.astype(int) - clip[[4, 0, 4, 5]]).max() < 12


def test_a_folder_decodes_as_the_same_files_in_memory_in_the_order_of_their_names(tmp_path, bundle):
    for number, data in reversed(list(enumerate(bundle.frames))):
        (tmp_path / f"{number + 1:05}.jpg").write_bytes(data)
    (tmp_path / "Thumbs.db").write_bytes(b"not a frame")
    np.testing.assert_array_equal(decode_frames(tmp_path, [3, 1]), decode_frames(bundle, [3, 1]))
    assert count_frames(tmp_path) == count_frames(bundle) == 6


def test_frames_are_described_without_a_rate(bundle):
    info = check_video(bundle)
    assert info == probe_video(bundle)
    assert (info.frames, info.width, info.height, info.fps, info.duration, info.codec) == (
        6,
        176,
        100,
        0.0,
        0.0,
        "mjpeg",
    )


@pytest.mark.parametrize("short_side", [10, 24, 25, 33, 50, 99, 100, 400])
def test_frames_are_scaled_to_the_short_side_as_those_of_a_video(tmp_path, clip, bundle, short_side):
    encoding = small_videos.Encoding(".mp4", "libx264", {"crf": "5"})
    video = small_videos.encode(tmp_path / "same.mp4", encoding, clip)
    reduced = decode_frames(bundle, [2], short_side=short_side)
    of_video = decode_frames(video, [2], short_side=short_side)
    assert reduced.shape == of_video.shape
    assert min(reduced.shape[1:3]) == min(short_side, 100)
    assert np.abs(reduced.astype(int) - of_video).mean() < 6


def test_frames_of_another_size_are_scaled_to_that_of_the_first(clip):
    mixed = JpegFrames("mixed", (_jpeg(clip[0]), _jpeg(cv2.resize(clip[1], (80, 60))), _jpeg(clip[2])))
    decoded = decode_frames(mixed, [0, 1, 2])
    assert decoded.shape == (3, 100, 176, 3)
    assert np.abs(decoded[1].astype(int) - clip[1]).mean() < 6


def test_grey_files_come_out_with_three_equal_channels(clip):
    grey = cv2.imencode(".jpg", clip[0, ..., 0])[1].tobytes()
    decoded = decode_frames(JpegFrames("grey", (grey,)), [0])
    np.testing.assert_array_equal(decoded[..., 0], decoded[..., 2])
    assert np.abs(decoded[0, ..., 1].astype(int) - clip[0, ..., 0]).max() < 12


def test_an_orientation_tag_is_ignored(clip, bundle):
    # An Exif segment with one entry: orientation (0x0112) = 6, to be turned by a quarter.
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + bytes(4)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    tagged = bundle.frames[0][:2] + segment + bundle.frames[0][2:]
    assert cv2.imdecode(np.frombuffer(tagged, np.uint8), cv2.IMREAD_COLOR).shape == (176, 100, 3)  # it is a real tag
    np.testing.assert_array_equal(decode_frames(JpegFrames("tagged", (tagged,)), [0]), decode_frames(bundle, [0]))


def test_progressive_files_with_a_thumbnail_and_padding_decode(clip):
    data = _jpeg(clip[0], cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    thumbnail = b"Thumbnail\x00" + _jpeg(clip[0, :16, :16])
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    padded = data[:2] + segment + b"\xff" + data[2:] + bytes(7)
    assert decode_frames(JpegFrames("padded", (padded,)), [0]).shape == (1, 100, 176, 3)
    cut = padded[: len(padded) * 3 // 4]
    with pytest.raises(VideoDecodeError, match="cut off"):
        decode_frames(JpegFrames("cut", (cut,)), [0])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[: len(data) // 2], "its frame 1 is cut off"),
        (lambda data: data[:10], "its frame 1 is damaged or is neither a JPEG nor a PNG file"),
        (lambda data: b"", "its frame 1 is damaged or is neither a JPEG nor a PNG file"),
        (lambda data: b"GIF89a" + data, "its frame 1 is damaged or is neither a JPEG nor a PNG file"),
        (lambda data: data.replace(b"\xff\xdb", b"\xff\xfe"), "its frame 1 is damaged"),
        (
            lambda data: data.replace((100).to_bytes(2, "big") + (176).to_bytes(2, "big"), b"\xff\xff\xff\xff"),
            "its frame 1 claims 65535x65535 pixels",
        ),
    ],
    ids=["cut", "header only", "empty", "other format", "no tables", "huge"],
)
def test_a_damaged_file_is_named_and_the_others_still_decode(bundle, damage, reason):
    damaged = JpegFrames("12345", (bundle.frames[0], damage(bundle.frames[1]), bundle.frames[2]))
    assert decode_frames(damaged, [0, 2]).shape == (2, 100, 176, 3)
    for read in (check_video, lambda video: decode_frames(video, [0, 1])):
        with pytest.raises(VideoDecodeError, match=f"the video 12345: {reason}"):
            read(damaged)


def test_a_frame_beyond_the_last_is_reported(bundle):
    with pytest.raises(VideoDecodeError, match="frame 6 was asked for and there are 6 frames"):
        decode_frames(bundle, [0, 6])


def test_a_folder_without_frames_is_reported(tmp_path):
    for read in (count_frames, check_video, lambda folder: decode_frames(folder, [0])):
        with pytest.raises(VideoDecodeError, match=r"no frames \(\*\.jpg, \*\.jpeg, \*\.png\)"):
            read(tmp_path)


def _png(picture):
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


def test_png_frames_decode_as_they_are(tmp_path, clip):
    for number, picture in enumerate(clip, start=1):
        (tmp_path / f"{number}.PNG").write_bytes(_png(picture))
    np.testing.assert_array_equal(decode_frames(tmp_path, range(6)), clip)
    assert decode_frames(tmp_path, [1], short_side=50).shape == (1, 50, 88, 3)
    assert check_video(tmp_path).frames == 6


def test_what_a_picture_is_is_told_by_its_content(clip, bundle):
    mixed = JpegFrames("mixed", (_png(clip[0]), bundle.frames[1]))
    assert np.abs(decode_frames(mixed, [0, 1]).astype(int) - clip[:2]).max() < 12


def test_any_damage_of_a_png_file_is_found(clip):
    data, draw = _png(clip[0, :20, :20]), random.Random(0)
    for _ in range(100):
        changed = bytearray(data)
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        for damaged in (bytes(changed), data[: draw.randrange(len(data))]):
            with pytest.raises(VideoDecodeError, match="its frame 0 is"):
                decode_frames(JpegFrames("png", (damaged,)), [0])


def test_frames_are_read_in_the_order_of_their_last_numbers(tmp_path, clip, bundle):
    for number, data in enumerate(bundle.frames, start=7):
        (tmp_path / f"frame{number}.jpeg").write_bytes(data)
    (tmp_path / "._frame7.jpeg").write_bytes(b"of the file manager")
    decoded = decode_frames(tmp_path, range(6))
    np.testing.assert_array_equal(decoded, decode_frames(bundle, range(6)))
    assert frame_doubts(tmp_path) == frame_doubts(bundle) == ()


def test_gaps_are_logged_once_and_the_frames_are_read(tmp_path, bundle, caplog):
    for number in (0, 1, 3):
        (tmp_path / f"img_{number:05}.jpg").write_bytes(bundle.frames[number])
    for _ in range(2):
        assert decode_frames(tmp_path, [0, 2]).shape[0] == 2
    message = "frames are missing: img_00001.jpg is followed by img_00003.jpg"
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path}: {message}"]
    assert frame_doubts(tmp_path) == (message,)


def test_frames_whose_order_is_not_known_are_refused(tmp_path, bundle):
    for name in ("1.jpg", "01.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(bundle.frames[0])
    for read in (count_frames, check_video, lambda folder: decode_frames(folder, [0])):
        with pytest.raises(VideoDecodeError, match=r"01\.jpg and 1\.jpg have the same number"):
            read(tmp_path)


def test_pictures_of_another_format_are_named(tmp_path, bundle):
    (tmp_path / "1.webp").write_bytes(b"RIFF")
    with pytest.raises(VideoDecodeError, match=r"it has no frames: left out, .*: 1\.webp"):
        count_frames(tmp_path)


def test_a_frame_that_is_a_pipe_or_a_folder_is_no_frame(tmp_path, bundle):
    os.mkfifo(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").mkdir()
    for frame in (0, 1):
        with pytest.raises(VideoDecodeError, match=f"its frame {frame + 1}.jpg is not a regular file"):
            decode_frames(tmp_path, [frame])


def test_only_the_whole_can_be_asked_for_by_time(bundle):
    assert frame_window(bundle, 0.0, None) == (0, 6)
    with pytest.raises(VideoDecodeError, match="no times"):
        frame_window(bundle, 1.0, None)
