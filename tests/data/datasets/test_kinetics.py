import pathlib

import pytest

from motion_vit.data.datasets import kinetics
from motion_vit.data.datasets.annotation_files import AnnotationError
from motion_vit.data.datasets.source_dataset import SourceClip

_HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
_TRAIN = _HEADER + 'zumba,zumba_video,5,15,train,0\n"air drumming",air__-video,100,110,train,0\n'
_VALIDATION = _HEADER + "abseiling,0wR5jVB-WPk,417,427,val,0\n"


def _write(path: pathlib.Path, text: str = "") -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _download(source: pathlib.Path, train: str = _TRAIN, validation: str = _VALIDATION) -> pathlib.Path:
    """A download of CVDF: lists in `annotations`, trimmed videos of a split in one folder."""
    _write(source / "annotations/train.csv", train)
    _write(source / "annotations/val.csv", validation)
    _write(source / "train/zumba_video_000005_000015.mp4")
    _write(source / "train/air__-video_000100_000110.mp4")
    _write(source / "val/0wR5jVB-WPk_000417_000427.mp4")
    return source


def test_the_layout_of_cvdf_gives_whole_trimmed_videos_and_sorted_classes(tmp_path):
    dataset = kinetics.read(_download(tmp_path))
    assert dataset.name == "kinetics400"
    assert dataset.label_names == ("abseiling", "air drumming", "zumba")
    assert dataset.splits == {
        "train": (
            SourceClip(
                "zumba/zumba_video_000005_000015", str(tmp_path / "train/zumba_video_000005_000015.mp4"), "zumba"
            ),
            SourceClip(
                "air drumming/air__-video_000100_000110",
                str(tmp_path / "train/air__-video_000100_000110.mp4"),
                "air drumming",
            ),
        ),
        "validation": (
            SourceClip(
                "abseiling/0wR5jVB-WPk_000417_000427",
                str(tmp_path / "val/0wR5jVB-WPk_000417_000427.mp4"),
                "abseiling",
            ),
        ),
    }


def test_a_folder_per_class_is_found_with_spaces_underscores_and_other_endings(tmp_path):
    _write(tmp_path / "kinetics_train.csv", _TRAIN)
    _write(tmp_path / "kinetics_val.csv", _VALIDATION)
    zumba = _write(tmp_path / "videos_train/zumba/zumba_video_000005_000015.mkv")
    drumming = _write(tmp_path / "videos_train/air_drumming/air__-video_000100_000110.webm")
    _write(tmp_path / "videos_val/abseiling/0wR5jVB-WPk_000417_000427.mp4")
    dataset = kinetics.read(tmp_path)
    assert [clip.path for clip in dataset.splits["train"]] == [str(zumba), str(drumming)]
    assert dataset.splits["train"][1].label == "air drumming"


def test_a_full_length_video_is_cut_and_a_missing_one_stays_in_its_split(tmp_path):
    source = _download(tmp_path)
    (source / "train/zumba_video_000005_000015.mp4").unlink()
    full_length = _write(source / "train/zumba_video.mp4")
    (source / "train/air__-video_000100_000110.mp4").unlink()
    zumba, drumming = kinetics.read(source).splits["train"]
    assert (zumba.path, zumba.start, zumba.end) == (str(full_length), 5.0, 15.0)
    assert (drumming.path, drumming.start) == (str(source / "train/air drumming/air__-video_000100_000110.mp4"), None)


def test_the_replacement_of_a_corrupted_video_is_used(tmp_path):
    source = _download(tmp_path)
    better = _write(source / "replacement/replacement_for_corrupted_k400/zumba_video_000005_000015.mp4")
    assert kinetics.read(source).splits["train"][0].path == str(better)


def test_a_clip_under_two_actions_is_two_clips_and_a_repeated_row_is_left_out_and_said(tmp_path):
    train = _TRAIN + "abseiling,zumba_video,5,15,train,0\nzumba,zumba_video,5,15,train,0\n"
    dataset = kinetics.read(_download(tmp_path, train=train))
    clips = dataset.splits["train"]
    assert [clip.label for clip in clips] == ["zumba", "air drumming", "abseiling"]
    assert clips[0].path == clips[2].path
    assert dataset.mismatches[0] == "train: 1 rows repeat an earlier row and are left out"


def test_lists_with_numbered_classes_keep_the_order_of_the_numbers(tmp_path):
    _write(tmp_path / "kinetics_400_categroies.txt", "riding a bike\t0\nmarching\t1\nabseiling\t2\n")
    _write(tmp_path / "train.csv", "some video.mp4,1\nother.mp4,0\n")
    _write(tmp_path / "val.csv", "0wR5jVB-WPk.mp4,2\n")
    _write(tmp_path / "train/some video.mp4")
    _write(tmp_path / "val/0wR5jVB-WPk.mp4")
    dataset = kinetics.read(tmp_path)
    assert dataset.label_names == ("riding a bike", "marching", "abseiling")
    assert dataset.splits == {
        "train": (
            SourceClip("some video", str(tmp_path / "train/some video.mp4"), "marching"),
            SourceClip("other", str(tmp_path / "train/other.mp4"), "riding a bike"),
        ),
        "validation": (SourceClip("0wR5jVB-WPk", str(tmp_path / "val/0wR5jVB-WPk.mp4"), "abseiling"),),
    }


def test_the_lists_of_mmaction2_start_from_the_folder_that_holds_their_paths(tmp_path):
    _write(tmp_path / "labels.txt", "abseiling\nair drumming\n")
    _write(tmp_path / "kinetics400_train_list_videos.txt", "abseiling/a_000001_000011.mp4 0\n")
    _write(tmp_path / "kinetics400_val_list_videos.txt", "air_drumming/b_000001_000011.mp4 1\n")
    train = _write(tmp_path / "videos_train/abseiling/a_000001_000011.mp4")
    validation = _write(tmp_path / "videos_val/air_drumming/b_000001_000011.mp4")
    splits = kinetics.read(tmp_path).splits
    assert splits["train"][0] == SourceClip("abseiling/a_000001_000011", str(train), "abseiling")
    assert splits["validation"][0] == SourceClip("air_drumming/b_000001_000011", str(validation), "air drumming")


def test_a_path_too_long_for_the_file_system_stays_in_its_split_like_any_missing_video(tmp_path):
    _write(tmp_path / "labels.txt", "abseiling\n")
    _write(tmp_path / "train.csv", "9" * 5000 + ".mp4,0\n")
    _write(tmp_path / "val.csv", "b.mp4,0\n")
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    assert len(kinetics.read(tmp_path).splits["train"]) == 1


def test_numbered_classes_without_names_are_refused(tmp_path):
    _write(tmp_path / "train.csv", "a.mp4,0\n")
    _write(tmp_path / "val.csv", "b.mp4,0\n")
    with pytest.raises(AnnotationError, match=r"no file labels\.txt .*the lists number the classes"):
        kinetics.read(tmp_path)


def test_lists_of_two_kinds_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="are of two kinds"):
        kinetics.read(_download(tmp_path, validation="b.mp4,0\n"))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("zumba,zumba_video,15,5,train,0\n", "line 2: expected time_start before time_end, found 15 and 5"),
        ("zumba,zumba_video,soon,15,train,0\n", "line 2: expected time_start to be a number"),
        (",zumba_video,5,15,train,0\n", "line 2: the label is empty"),
        ("zumba,zumba_video,5,15\n", "line 2: 4 cells where the header has 6"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(tmp_path, row, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        kinetics.read(_download(tmp_path, train=_HEADER + row))


def test_a_missing_list_or_folder_is_named(tmp_path):
    source = _download(tmp_path)
    (source / "val").rename(source / "elsewhere")
    with pytest.raises(AnnotationError, match=r"no folder val or .*the videos of the split validation"):
        kinetics.read(source)
    (source / "annotations/val.csv").unlink()
    with pytest.raises(AnnotationError, match=r"no file val\.csv .*it lists the validation clips"):
        kinetics.read(source)


def test_another_kinetics_dataset_is_told_by_its_number_of_classes(tmp_path):
    rows = "".join(f"class {number},v{number},0,10,train,0\n" for number in range(599))
    source = _download(tmp_path, train=_HEADER + rows)
    with pytest.raises(AnnotationError, match=r"looks like Kinetics-600: run `motion-vit prepare kinetics600 "):
        kinetics.read(source, classes=400)
    assert kinetics.read(source, classes=600).name == "kinetics600"


def test_the_counts_of_any_official_release_are_no_mismatch(tmp_path, monkeypatch):
    dataset = kinetics.read(_download(tmp_path), classes=700)
    assert dataset.mismatches == (
        "classes: 3, the official list has 700",
        "train: 2 clips, the official list has 534,073",
        "validation: 1 clip, the official list has 33,914",
    )
    deepmind = kinetics.OfficialCounts(3, {"train": 2, "validation": 1})
    monkeypatch.setitem(kinetics._OFFICIAL, 700, (*kinetics._OFFICIAL[700], deepmind))
    assert kinetics.read(tmp_path, classes=700).mismatches == ()


def test_a_folder_is_recognised_by_the_header_of_its_lists(tmp_path):
    assert kinetics.looks_like(_download(tmp_path / "kinetics"))
    _write(tmp_path / "other/train.csv", "path,label\na.mp4,run\n")
    assert not kinetics.looks_like(tmp_path / "other")
    (tmp_path / "folders/train.csv").mkdir(parents=True)
    assert not kinetics.looks_like(tmp_path / "folders")
