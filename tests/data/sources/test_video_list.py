"""List files: what is accepted, which class gets which number, and what each mistake says."""

import pathlib
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from text_mutations import mutated

from motion_vit.data.sources.clip_source import ClipSource, StoredClip
from motion_vit.data.sources.video_list import ListFileError, read_label_names, read_video_list
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


def test_numbers_that_are_names_of_classes_are_names(write_list):
    path = write_list("path,label\na.mp4,2\nb.mp4,1\n")
    np.testing.assert_array_equal(read_video_list(path, label_names=["1", "2", "none"]).labels, [1, 0])
    with pytest.raises(ListFileError, match="'1' is the name of a class and '2' is not"):
        read_video_list(path, label_names=["1", "3", "none"])


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
        ("a.mp4,wave\nb.mp4,clap\n", r"lacks the columns path and label: its first line is 'a.mp4,wave'"),
        ("path;label\na.mp4;wave\n", r"lacks the columns path and label"),
        ("path,class\na.mp4,wave\n", r"lacks the column label"),
        ("path,label\na.mp4,\n", r"line 2: the label is empty"),
        ("path,label\n\n,wave\n", r"line 3: the path is empty"),
        ("path,label\na.mp4,wave,b\n", r"line 2: 3 cells where the header has 2.*needs quotes"),
        (
            "path,label,frames\na.mp4,x,0\n",
            r"line 2: frames must be a whole number from 1 to \d+, or empty, not '0'",
        ),
        ("path,label,frames\na.mp4,x,many\n", r"not 'many'"),
        (
            "path,label,start\na.mp4,x,soon\n",
            r"line 2: start must be a time in seconds from 0 to 10000000, or empty, not 'soon'",
        ),
        ("path,label,start\na.mp4,x,-1\n", r"start must be a time in seconds from 0 to 10000000, or empty, not '-1'"),
        ("path,label,end\na.mp4,x,nan\n", r"end must be a time in seconds"),
        ("path,label,end\na.mp4,x,inf\n", r"end must be a time in seconds"),
        ("path,label,start,end\na.mp4,x,4,4\n", r"line 2: the clip ends at 4 s, not after its start at 4 s"),
        ("path,label,end\na.mp4,x,0\n", r"line 2: the clip ends at 0 s, not after its start at 0 s"),
        ("path,label,path\na.mp4,x,b.mp4\n", r"has the column path 2 times"),
        ("path,label\na.mp4,x\nb.mp4,x\na.mp4,y\n", r"line 4: the clip 'a.mp4' is already on line 2"),
        ("path,label,start\na.mp4,x,1\na.mp4,y,1.0\n", r"line 3: the clip 'a.mp4 1-' is already on line 2"),
        ("path,label,split\na.mp4,x,train\nb.mp4,x,test\n", r"holds several splits \('test, train'\).*prepare list"),
        # What damaged files found: each of these once ended in a traceback or was read as something else.
        ('path,label\na.mp4,"x\nb.mp4,x\n', r"line 3: not a line of CSV \(unexpected end of data\).*not closed"),
        ('path,label\na.mp4,"x\nb.mp4,y"\n', r"line 3: the label goes over several lines.*not closed"),
        (f"path,label\na.mp4,{'x' * 140_000}\n", r"line 2: not a line of CSV \(field larger than field limit"),
        (
            f"path,label,frames\na.mp4,x,{'9' * 5000}\n",
            r"frames must be a whole number from 1 to 100000000, or empty, not '99.{10,80}'",
        ),
        ("path,label\na.mp4,x\0\n", r"holds NUL bytes"),
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


def test_numbers_with_too_many_digits_to_be_read_are_names(write_list):
    digits = "9" * 5000
    assert read_video_list(write_list(f"path,label\na.mp4,{digits}\n")).label_names == (digits,)
    with pytest.raises(ListFileError, match=r"line 2: unknown label '99.{10,80}\. Expected") as caught:
        read_video_list(write_list(f"path,label\na.mp4,{digits}\n"), label_names=["x", "y"])
    assert len(str(caught.value)) < 500


def test_a_row_is_a_clip_with_its_times_where_the_list_gives_them(write_list, tmp_path):
    text = "path,label,start,end\na.mp4,wave,1.5,4\na.mp4,clap,4,\nb.mp4,wave,,2.5\nc.mp4,wave,,\n"
    videos: ClipSource = read_video_list(write_list(text))
    a, b, c = (str(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4"))
    assert [videos[row] for row in range(len(videos))] == [
        StoredClip(id="a.mp4 1.5-4", label=1, video=a, start=1.5, end=4.0),
        StoredClip(id="a.mp4 4-", label=0, video=a, start=4.0),
        StoredClip(id="b.mp4", label=1, video=b, end=2.5),
        StoredClip(id="c.mp4", label=1, video=c),
    ]
    assert videos.name == str(tmp_path / "list.csv")
    assert videos.label_names == ("clap", "wave")


def test_the_number_of_frames_is_a_clips_own_only_where_it_is_the_whole_video(write_list):
    whole = read_video_list(write_list("path,label,frames,start,end\na.mp4,x,12,,\nb.mp4,x,9,0,\n"))
    assert [whole[row].frames for row in range(2)] == [12, 9]
    part = read_video_list(write_list("path,label,frames,start,end\na.mp4,x,12,,\nb.mp4,x,9,0,1\n"))
    assert [part[row].frames for row in range(2)] == [None, None]
    assert part[1].end == 1.0


def test_a_folder_of_jpeg_frames_is_a_video_and_a_folder_without_them_is_not(write_list, tmp_path):
    (tmp_path / "12345").mkdir()
    path = write_list("path,label\na.mp4,x\n12345,x\n")
    with pytest.raises(ListFileError, match=r"1 of the 2 videos.*\n  line 3: .*12345\n.*a folder counts where"):
        read_video_list(path)
    (tmp_path / "12345" / "00001.jpg").touch()
    assert read_video_list(path)[1].video == str(tmp_path / "12345")


def test_the_fingerprint_is_that_of_the_clips_wherever_they_lie(write_list, tmp_path):
    rows = "path,label,start\na.mp4,wave,1\nb.mp4,clap,\n"
    fingerprint = read_video_list(write_list(rows)).fingerprint
    assert len(fingerprint) == 64
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.csv").write_text("label,path,remark,start\nwave,a.mp4,!,1.0\nclap,b.mp4,?,\n")
    assert read_video_list(elsewhere / "other.csv", check_files=False).fingerprint == fingerprint
    changed = [
        rows.replace("a.mp4", "c.mp4"),
        rows.replace("clap", "nod"),
        rows.replace("1\n", "2\n"),
        "path,label,start\nb.mp4,clap,\na.mp4,wave,1\n",
        rows + "c.mp4,clap,\n",
        "path,label,start,end\na.mp4,wave,1,9\nb.mp4,clap,,\n",
    ]
    others = {read_video_list(write_list(text)).fingerprint for text in changed}
    others.add(read_video_list(write_list(rows), label_names=["clap", "wave", "nod"]).fingerprint)
    assert len(others | {fingerprint}) == len(changed) + 2


def test_a_list_is_the_same_after_pickling(write_list):
    videos = read_video_list(write_list("path,label,frames\na.mp4,wave,7\nb.mp4,clap,9\n"))
    copy = pickle.loads(pickle.dumps(videos))
    assert copy.fingerprint == videos.fingerprint
    assert copy[1] == videos[1]


_LIST = "path,label,frames,start,end\n" + "".join(
    f'videos/clip {row}.mp4,"walk, {row % 3}",{row + 3},{row / 2},{row + 4}\n' for row in range(8)
)
_LABELS = "walk, 0\nwalk, 1\nwalk, 2\n"


def _message_of_damage(read: Callable[[], object]) -> str:
    """What reading a damaged file says, or nothing where it is read."""
    try:
        read()
    except ListFileError as error:
        return str(error)
    return ""


def test_a_damaged_list_is_read_or_refused_in_words(tmp_path):
    path, messages = tmp_path / "list.csv", []
    for seed in range(120):
        path.write_bytes(mutated(_LIST.encode(), seed))
        messages.append(_message_of_damage(lambda: read_video_list(path, check_files=False).fingerprint))
    assert 10 <= messages.count("") <= 80
    assert all(str(path) in message and len(message) < 2000 for message in messages if message)


def test_a_damaged_labels_file_is_read_or_refused_in_words(tmp_path):
    path, labels, messages = tmp_path / "list.csv", tmp_path / "labels.txt", []
    path.write_text(_LIST)
    for seed in range(120):
        labels.write_bytes(mutated(_LABELS.encode(), seed))
        messages.append(_message_of_damage(lambda: read_video_list(path, check_files=False)))
    assert 10 <= messages.count("") <= 80
    assert all(str(tmp_path) in message and len(message) < 2000 for message in messages if message)
