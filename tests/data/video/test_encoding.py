import av
import numpy as np
import pytest

from motion_vit.data.embedded.motion_scenes import render_clip
from motion_vit.data.video.encoding import VIDEO_SUFFIXES, write_video
from motion_vit.errors import UserError


def _decode(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_encoding_keeps_every_frame_and_its_picture(tmp_path, suffix):
    clip = render_clip("clockwise", seed=1, frames=17, size=64)
    write_video(tmp_path / f"clip{suffix}", clip)
    decoded = _decode(tmp_path / f"clip{suffix}")
    assert decoded.shape == clip.shape
    error = np.square(decoded.astype(float) - clip).mean(axis=(1, 2, 3))
    assert (10 * np.log10(255**2 / error)).min() > 29


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_encoding_keeps_the_motion_between_frames(tmp_path, suffix):
    clip = render_clip("left", seed=2, frames=16, size=64)
    write_video(tmp_path / f"clip{suffix}", clip)
    decoded = _decode(tmp_path / f"clip{suffix}")
    change, kept = np.diff(clip.astype(float), axis=0), np.diff(decoded.astype(float), axis=0)
    assert np.corrcoef(change.ravel(), kept.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_the_same_clip_gives_the_same_file_and_nothing_beside_it(tmp_path, suffix):
    clip = render_clip("up", seed=3, frames=4, size=32)
    write_video(tmp_path / f"a{suffix}", clip)
    write_video(tmp_path / f"b{suffix}", clip)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["a", "b"]


def test_an_unknown_suffix_is_reported_with_the_known_ones(tmp_path):
    with pytest.raises(UserError, match=r"clip\.avi.*\.mp4, \.webm"):
        write_video(tmp_path / "clip.avi", np.zeros((2, 16, 16, 3), np.uint8))


@pytest.mark.parametrize(
    ("clip", "complaint"),
    [
        (np.zeros((2, 15, 16, 3), np.uint8), "even height and width, given 15x16"),
        (np.zeros((2, 16, 16, 3), np.float32), "float32"),
        (np.zeros((2, 16, 16), np.uint8), r"\(2, 16, 16\)"),
        (np.zeros((0, 16, 16, 3), np.uint8), r"\(0, 16, 16, 3\)"),
    ],
)
def test_a_clip_that_cannot_be_encoded_is_reported_with_its_shape(tmp_path, clip, complaint):
    with pytest.raises(UserError, match=complaint):
        write_video(tmp_path / "clip.mp4", clip)


def test_a_folder_that_does_not_exist_is_reported_with_the_path(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.*No such file"):
        write_video(tmp_path / "nowhere" / "clip.mp4", np.zeros((2, 16, 16, 3), np.uint8))
