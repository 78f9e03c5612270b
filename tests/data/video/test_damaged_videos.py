"""Damaged files: every one is decoded as far as it goes or reported, none crashes the process, hangs or raises else."""

import collections
import multiprocessing

import av.error
import cv2
import pytest
import small_videos
import video_mutations

from motion_vit.data.video.container import demux
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import JpegFrames

_SECONDS_A_FILE = 30
_ORIGINALS = (
    "h264 with B-frames",
    "h264 in avi",
    "h264 in a transport stream",
    "mpeg4 in avi",
    "vp9",
    "vp8",
    "hevc with temporal layers",
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    return {name: small_videos.encode_sample(folder, name).read_bytes() for name in _ORIGINALS}


def test_every_damaged_file_is_decoded_or_reported(originals):
    good = collections.Counter()
    # In another process, so that a crash in native code or a hang shows as a time-out that names the file.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for mutant in video_mutations.mutants(originals, seed=0, count=64):
            try:
                results, _ = pool.apply_async(video_mutations.read_everything, (mutant,)).get(_SECONDS_A_FILE)
            except multiprocessing.TimeoutError:
                pytest.fail(f"{mutant.name}: no result in {_SECONDS_A_FILE} s; the decoder hangs or has crashed")
            good[results > 0] += 1
    assert good[True] > 10, "the damage is so great that it tests little but the opening of files"
    assert good[False] > 10, "the damage is so small that it tests little but good files"


class _ContainerWithLateStream:
    """What PyAV does where a flipped bit in a transport stream's packet makes a new stream (seed 3, number 968).

    Whether it does depends on what lies in the memory behind its table of streams, so that no file shows it every time.
    """

    def demux(self, stream):
        yield "a packet"
        raise IndexError("list index out of range")


def test_a_stream_that_appears_after_the_header_is_damage_and_no_bug():
    packets = demux(_ContainerWithLateStream(), "video")
    assert next(packets) == "a packet"
    with pytest.raises(av.error.InvalidDataError, match="a stream appears that the header does not name"):
        next(packets)


def test_every_damaged_jpeg_is_decoded_or_reported():
    clip = small_videos.moving_texture(4, 48, 64)
    frames = tuple(cv2.imencode(".jpg", frame)[1].tobytes() for frame in clip)
    outcomes = collections.Counter()
    for mutant in video_mutations.mutants({"a": frames[1], "b": frames[2]}, seed=0, count=200):
        video = JpegFrames(mutant.name, (frames[0], mutant.data))
        try:
            shape = decode_frames(video, [0, 1], short_side=24).shape
            assert shape == (2, 24, 32, 3)
            outcomes["decoded"] += 1
        except VideoDecodeError:
            outcomes["reported"] += 1
    assert outcomes["decoded"] > 20
    assert outcomes["reported"] > 20
