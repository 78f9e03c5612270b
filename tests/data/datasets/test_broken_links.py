"""Links that lead nowhere or in a circle are named by whoever comes upon them, wherever they stand."""

import pytest

from motion_vit.data.datasets import own_videos
from motion_vit.data.preparation.plan import stamp_files
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.list_file import ListFileError
from motion_vit.data.sources.video_list import read_video_list
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.probing import probe_video
from motion_vit.errors import UserError
from motion_vit.files.broken_link import broken_link

NOWHERE = {"gone": "a broken link, to gone: no such file or directory", "itself": "a link that leads in a circle, to "}


@pytest.fixture(params=NOWHERE)
def link(request):
    """Makes a link that leads nowhere or to itself, and returns what is to be said of it."""

    def make(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to("gone" if request.param == "gone" else path.name)
        return NOWHERE[request.param]

    return make


@pytest.fixture
def classes(tmp_path, write_video, numbered):
    write_video(tmp_path / "classes" / "clap" / "1.mp4", numbered(5))
    return tmp_path / "classes"


@pytest.mark.parametrize("name", ["wave/2.mp4", "wave/frames", "wave", "clap/2.txt"])
def test_a_link_in_class_folders_is_named(classes, tmp_path, link, name):
    said = link(classes / name)
    dataset = own_videos.read(classes, 0)
    if name.endswith(".mp4"):
        with pytest.raises(UserError, match=f"2.mp4: it is {said}"):
            prepare_dataset(dataset, tmp_path / "out", workers=1, progress=False)
    else:
        assert f"left out 1 links that lead nowhere: {name} is {said}" in dataset.mismatches[0]


def test_links_alone_are_named(tmp_path, link):
    said = link(tmp_path / "classes" / "clap" / "1.mp4")
    with pytest.raises(UserError, match=f"1.mp4, which is {said}"):
        stamp_files(own_videos.read(tmp_path / "classes", 0))


def test_a_link_to_predict_or_in_a_list_is_named(tmp_path, link):
    said = link(tmp_path / "1.mp4")
    with pytest.raises(VideoDecodeError, match=f"it is {said}"):
        probe_video(tmp_path / "1.mp4")
    (tmp_path / "list.csv").write_text("path,label\n1.mp4,clap\n")
    with pytest.raises(ListFileError, match=f"line 2: .*1.mp4: it is {said}"):
        read_video_list(tmp_path / "list.csv")


def test_a_link_among_frames_is_named(tmp_path, link):
    said = link(tmp_path / "1.jpg")
    with pytest.raises(VideoDecodeError, match=f"its frame 1.jpg is {said}"):
        decode_frames(tmp_path, [0])


def test_links_that_lead_somewhere_and_other_paths_are_none(classes, tmp_path):
    (tmp_path / "link.mp4").symlink_to(classes / "clap" / "1.mp4")
    assert broken_link(tmp_path / "link.mp4") == ""
    assert probe_video(tmp_path / "link.mp4").frames == 5
    for path in (tmp_path, tmp_path / "absent", "a\0b"):
        assert broken_link(path) == ""
