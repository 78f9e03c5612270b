"""List files: what is accepted, which class gets which number, and what each mistake says."""

import pathlib

import numpy as np
import pytest

from motion_vit.data.video_list import ListFileError, read_label_names, read_video_list
from motion_vit.errors import UserError


@pytest.fixture
def write_list(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4", "with space.mp4"):
        (tmp_path / name).touch()

    def write(text: str) -> pathlib.Path:
        path = tmp_path / "list.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_names_are_numbered_in_sorted_order(write_list, tmp_path):
    videos = read_video_list(write_list("path,label\na.mp4,wave\nb.mp4,clap\nc.mp4,wave\n"))
    assert videos.label_names == ("clap", "wave")
    np.testing.assert_array_equal(videos.labels, [1, 0, 1])
    assert videos.paths == tuple(str(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4"))
    assert videos.frames is None
    assert len(videos) == 3


def test_numbers_are_sorted_as_numbers(write_list):
    videos = read_video_list(write_list("path,label\na.mp4,10\nb.mp4,9\nc.mp4,9\n"))
    assert videos.label_names == ("9", "10")
    np.testing.assert_array_equal(videos.labels, [1, 0, 0])


def test_other_columns_any_order_blank_lines_quotes_and_a_byte_order_mark_are_accepted(write_list):
    text = '\ufefflabel, path ,frames,remark\n"clap, twice",with space.mp4,12,x\n\nwave, b.mp4 ,30,\n'
    videos = read_video_list(write_list(text))
    assert videos.label_names == ("clap, twice", "wave")
    assert videos.frames is not None
    np.testing.assert_array_equal(videos.frames, [12, 30])
    assert [pathlib.Path(path).name for path in videos.paths] == ["with space.mp4", "b.mp4"]


def test_frames_count_only_where_every_row_has_them(write_list):
    assert read_video_list(write_list("path,label,frames\na.mp4,x,12\nb.mp4,x,\n")).frames is None


def test_paths_are_relative_to_the_list_and_absolute_ones_kept(write_list, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "sub").mkdir()
    text = f"path,label\nsub/../a.mp4,x\n{tmp_path}/b.mp4,x\n"
    assert read_video_list(write_list(text)).paths == (str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4"))


def test_given_names_decide_the_numbers(write_list):
    videos = read_video_list(write_list("path,label\na.mp4,clap\nb.mp4,wave\n"), label_names=["wave", "nod", "clap"])
    assert videos.label_names == ("wave", "nod", "clap")
    np.testing.assert_array_equal(videos.labels, [2, 0])


def test_a_labels_file_beside_the_list_decides_the_numbers_unless_names_are_given(write_list, tmp_path):
    (tmp_path / "labels.txt").write_text("wave\nclap\n\n")
    path = write_list("path,label\na.mp4,clap\n")
    assert read_video_list(path).label_names == ("wave", "clap") == read_label_names(tmp_path / "labels.txt")
    assert read_video_list(path, label_names=("clap",)).label_names == ("clap",)


def test_numbers_count_given_names_of_words(write_list):
    path = write_list("path,label\na.mp4,2\nb.mp4,0\n")
    np.testing.assert_array_equal(read_video_list(path, label_names=["x", "y", "z"]).labels, [2, 0])
    with pytest.raises(ListFileError, match=r"line 2: the label 2 is out of range; the 2 classes are numbered 0 to 1"):
        read_video_list(path, label_names=["x", "y"])


def test_numbers_that_are_names_are_looked_up_as_names(write_list):
    path = write_list("path,label\na.mp4,5\n")
    np.testing.assert_array_equal(read_video_list(path, label_names=["3", "5"]).labels, [1])


def test_an_unknown_label_shows_its_row_and_the_nearest_names(write_list):
    path = write_list("path,label\na.mp4,wave\nb.mp4,clapp\n")
    with pytest.raises(
        ListFileError, match=r"line 3: unknown label 'clapp'; did you mean clap\?.*wave, clap"
    ) as caught:
        read_video_list(path, label_names=["wave", "clap"])
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"list\.csv is empty; expected a header path,label"),
        ("path,label\n", r"has a header and no videos"),
        ("a.mp4,wave\nb.mp4,clap\n", r"lacks the column path and label: its first line is 'a.mp4,wave'"),
        ("path;label\na.mp4;wave\n", r"lacks the column path and label"),
        ("path,class\na.mp4,wave\n", r"lacks the column label"),
        ("path,label\na.mp4,\n", r"line 2: the label is empty"),
        ("path,label\n\n,wave\n", r"line 3: the path is empty"),
        ("path,label\na.mp4,wave,b\n", r"line 2: 3 cells where the header has 2.*needs quotes"),
        ("path,label,frames\na.mp4,x,0\n", r"line 2: frames must be a positive whole number or empty, not '0'"),
        ("path,label,frames\na.mp4,x,many\n", r"not 'many'"),
    ],
)
def test_a_malformed_list_says_what_is_wrong_where(write_list, text, message):
    with pytest.raises(ListFileError, match=message):
        read_video_list(write_list(text))


def test_missing_videos_are_counted_and_the_first_five_named_with_their_rows(write_list):
    rows = "".join(f"gone{number}.mp4,x\n" for number in range(7))
    path = write_list("path,label\na.mp4,x\n" + rows)
    with pytest.raises(ListFileError) as caught:
        read_video_list(path)
    message = str(caught.value)
    assert "7 of the 8 videos" in message
    assert "line 3: " in message
    assert "gone4.mp4" in message
    assert "gone5.mp4" not in message
    assert "and 2 more" in message
    assert len(read_video_list(path, check_files=False)) == 8


def test_a_missing_list_a_folder_and_a_binary_file_are_reported(tmp_path):
    with pytest.raises(ListFileError, match="does not exist"):
        read_video_list(tmp_path / "none.csv")
    with pytest.raises(ListFileError, match="is a folder"):
        read_video_list(tmp_path)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ListFileError, match="not UTF-8"):
        read_video_list(tmp_path / "x.csv")


def test_a_name_that_comes_twice_is_refused(write_list, tmp_path):
    (tmp_path / "labels.txt").write_text("wave\nclap\nwave\n")
    with pytest.raises(ListFileError, match="'wave' comes more than once"):
        read_video_list(write_list("path,label\na.mp4,clap\n"))
