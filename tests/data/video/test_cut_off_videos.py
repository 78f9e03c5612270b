"""Files that were cut off: preparation, training, evaluation, `data check` and pictures say the same of each."""

import os

import av
import numpy as np
import pytest
import small_videos
from small_videos import Encoding

from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.batches.training_batches import decode_training_clip
from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.data.preparation.clip_encoding import encode_clip
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.probing import check_video
from motion_vit.errors import UserError
from motion_vit.visualization.clip_view import read_view

CUTS = 16
_FAST = {"preset": "ultrafast", "threads": "1"}
KINDS = {
    "mp4": Encoding(".mp4", "libx264", _FAST),
    "mp4 for streaming": Encoding(".mp4", "libx264", _FAST, container={"movflags": "faststart"}),
    "webm": Encoding(".webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    "mkv": Encoding(".mkv", "libx264", _FAST),
    "avi": Encoding(".avi", "mpeg4", {}),
    "mov": Encoding(".mov", "mpeg4", {}),
    "ts": Encoding(".ts", "libx264", _FAST),
    "mpg": Encoding(".mpg", "mpeg2video", {}),
    "flv": Encoding(".flv", "flv", {}),
    "ogv": Encoding(".ogv", "libvpx", {"cpu-used": "8", "deadline": "realtime"}),
}
# Their headers promise frames or seconds, so that a lack of a tenth is always told.
PROMISING = ("mp4", "mp4 for streaming", "webm", "mkv", "avi", "mov")


def reasons(path):
    """What each reader says of a file: its reason, or "" where it takes it."""
    clip = StoredClip("clip", 0, str(path))
    segment = ClipOptions(frames=4, size=16)
    dense = ClipOptions(frames=4, size=16, sampling="dense", stride=2)
    readers = {
        "prepare": lambda: encode_clip(SourceClip("clip", str(path), "a"), 0, "copy", "video", verify=False),
        "predict, evaluate": lambda: clip_views(clip, segment),
        "predict by time": lambda: clip_views(clip, ClipOptions(frames=4, size=16, sampling="dense", fps=25)),
        "train": lambda: decode_training_clip(clip, dense, np.random.default_rng(0)),
        "visualize": lambda: read_view(clip, segment),
        "data check": lambda: check_video(str(path)),
    }
    said = {}
    for name, read in readers.items():
        try:
            read()
            said[name] = ""
        except VideoDecodeError as error:
            said[name] = error.reason
        except UserError:  # one frame is left, in which visualization sees no motion
            said[name] = ""
    return said


@pytest.mark.fast_cases("avi", "mkv", "mov", "mp4")
@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_says_of_a_cut_off_file_what_preparation_says(tmp_path, kind):
    if KINDS[kind].encoder not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {KINDS[kind].encoder}")
    path = small_videos.encode(tmp_path / f"whole{KINDS[kind].suffix}", KINDS[kind], small_videos.moving_texture())
    assert set(reasons(path).values()) == {""}
    data = path.read_bytes()
    cut = tmp_path / f"cut{KINDS[kind].suffix}"
    for part in range(CUTS):
        cut.write_bytes(data[: len(data) * part // CUTS])
        said = reasons(cut)
        expected = said.pop("prepare")
        checked = said.pop("data check")
        # What is checked to the last frame may show damage there that the packets do not.
        assert checked == expected or (not expected and "damaged" in checked), (part, expected, checked)
        # Whether a file without a promise is cut shows only where a picture of the clip is missing.
        assert set(said.values()) <= ({expected} if expected else {"", checked}), (part, expected, said)
        if kind in PROMISING and part < 0.9 * CUTS:
            assert expected, f"{part}/{CUTS} of it are taken for the whole"


def test_a_whole_file_is_never_called_cut_off(tmp_path):
    for kind, encoding in KINDS.items():
        if encoding.encoder in av.codecs_available:
            path = tmp_path / f"{kind.replace(' ', '_')}{encoding.suffix}"
            small_videos.encode(path, encoding, small_videos.moving_texture()[:7])
            assert not check_video(path).notes or "cut" not in str(check_video(path).notes)


@pytest.mark.slow
def test_no_whole_file_of_an_unusual_kind_is_called_cut_off(shared_clips):
    files = [os.path.join(folder, name) for folder, _, names in os.walk(shared_clips / "awkward") for name in names]
    videos = [file for file in files if not file.lower().endswith((".jpg", ".jpeg", ".png", ".csv", ".txt", ".md"))]
    said = {file: {name: reason for name, reason in reasons(file).items() if "cut off" in reason} for file in videos}
    assert videos
    assert not {file: found for file, found in said.items() if found}
