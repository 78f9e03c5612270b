"""Decoding only what is needed gives, bit for bit, the frames that decoding everything from the start gives."""

import pathlib

import av
import numpy as np
import pytest
import small_videos

from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import VideoBytes
from motion_vit.data.video.probing import count_frames

# Files that decode whole; the rotated one is compared with its stored pictures turned by hand elsewhere.
_SHARED = [
    "mma_demo.mp4",
    "mma_demo_std.mp4",
    "mma_rawvideo_part0.mp4",
    "mma_test.avi",
    "decord_flipping_a_pancake.mkv",
    "tc_testsrc2_vp9.webm",
    "tc_testsrc2_odd_height_and_width_vp9.mp4",
    "tc_test_non_zero_start.mp4",
]


@pytest.fixture(scope="module", params=small_videos.ENCODINGS)
def sample(request, tmp_path_factory):
    return small_videos.encode_sample(tmp_path_factory.mktemp("samples"), request.param)


def _assert_exact(path, every, requests):
    video = VideoBytes(path.name, path.read_bytes())
    for number, wanted in enumerate(requests):
        clip = decode_frames(video if number % 2 else path, wanted)
        np.testing.assert_array_equal(clip, every[wanted], err_msg=f"{path.name}, frames {wanted}")


def _requests(frames, count, seed):
    """Random sets, and dense windows at random starts."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.integers(0, frames, rng.integers(1, 7))
        yield np.arange(rng.integers(0, frames), frames, 3)[:5]


@pytest.mark.fast_cases(
    *(
        "h264 with B-frames",
        "h264 with open groups",
        "h264 in a transport stream",
        "mpeg4 in avi",
        "vp9",
        "vp8",
        "hevc",
    ),
)
def test_any_choice_of_frames_equals_decoding_from_the_start(sample):
    every = small_videos.decode_all(sample)
    assert len(every) == count_frames(sample) == small_videos.FRAMES
    _assert_exact(sample, every, [*_requests(len(every), 6, seed=1), np.arange(len(every)), [len(every) - 1], [0]])


@pytest.mark.fast_cases("tc_test_non_zero_start.mp4")
@pytest.mark.parametrize("name", _SHARED)
def test_any_choice_of_frames_of_a_real_file_equals_decoding_from_the_start(shared_clips, name):
    every = small_videos.decode_all(shared_clips / name)
    assert count_frames(shared_clips / name) == len(every)
    _assert_exact(shared_clips / name, every, _requests(len(every), 3, seed=2))


def _hide_frame_with_a_cleared_bit(source: pathlib.Path, target: pathlib.Path, hidden: int) -> None:
    """Copies a VP8 file and clears the bit `show_frame` of one packet: it is decoded and not shown."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(packet for packet in reader.demux(video=0) if packet.size):
            if number == hidden:
                data = bytearray(bytes(packet))
                data[0] &= ~0x10
                packet.update(bytes(data))
            packet.stream = copy
            writer.mux(packet)


def test_frames_that_vp8_hides_are_not_counted(tmp_path):
    whole = small_videos.encode_sample(tmp_path, "vp8")
    path = tmp_path / "hidden.webm"
    _hide_frame_with_a_cleared_bit(whole, path, hidden=17)
    every = small_videos.decode_all(path)
    assert len(every) == count_frames(path) == small_videos.FRAMES - 1
    _assert_exact(path, every, [[16, 17, 18], [40], [3, 30]])


def _cut_with_an_edit_list(source: pathlib.Path, target: pathlib.Path, first: int) -> None:
    """Copies an mp4 without re-encoding so that it starts showing at frame `first`, as `ffmpeg -ss -c copy` does."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = [packet for packet in reader.demux(stream) if packet.size]
        start = sorted(packet.pts for packet in packets)[first]
        keyframe = max(i for i, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= start)
        for packet in packets[keyframe:]:
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            packet.stream = copy
            writer.mux(packet)


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path):
    whole = small_videos.encode_sample(tmp_path, "h264 with B-frames")
    path = tmp_path / "cut.mp4"
    _cut_with_an_edit_list(whole, path, first=17)
    every = small_videos.decode_all(path)
    assert len(every) == count_frames(path) == small_videos.FRAMES - 17
    np.testing.assert_array_equal(every, small_videos.decode_all(whole)[17:])
    _assert_exact(path, every, [[0], [2, 3], [25, 30], [32], [0, 20]])


@pytest.mark.parametrize("name", ["h264 with B-frames", "vp9"])
def test_groups_of_pictures_without_a_wanted_frame_are_not_decoded(tmp_path, name):
    path = small_videos.encode_sample(tmp_path, name)
    every = small_videos.decode_all(path)
    damaged = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size and 12 <= packet.pts * packet.time_base * small_videos.RATE < 24:
                at = damaged.index(bytes(packet))
                damaged[at : at + packet.size] = bytes(packet.size)
    video = VideoBytes("damaged", bytes(damaged))
    np.testing.assert_array_equal(decode_frames(video, [3, 26, 40]), every[[3, 26, 40]])
    with pytest.raises(VideoDecodeError, match="damaged"):
        decode_frames(video, [14])
