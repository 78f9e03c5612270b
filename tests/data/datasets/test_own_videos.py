"""One's own videos: each layout is found, labels keep their names, and held-out videos stay where they are."""

import pathlib

import pytest

from motion_vit.data.datasets import own_videos
from motion_vit.data.datasets.source_dataset import SourceClip
from motion_vit.errors import UserError


def _touch(folder: pathlib.Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _ids(dataset, split: str) -> list[str]:
    return [clip.id for clip in dataset.splits[split]]


def test_rows_of_one_list_go_to_the_splits_that_they_name(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "path,label,start,end,split\n"
        "a.mp4,wave,,,train\n"
        "a.mp4,clap,2,4.5,train\n"
        "sub/b.mp4,clap,,3,val\n"
        "/far/c.mp4,wave,,,test\n"
    )
    dataset = own_videos.read(path)
    assert dataset.name == "list"
    assert dataset.label_names == ("clap", "wave")
    assert dataset.splits == {
        "train": (
            SourceClip("a.mp4", str(tmp_path / "a.mp4"), "wave"),
            SourceClip("a.mp4 2-4.5", str(tmp_path / "a.mp4"), "clap", 2.0, 4.5),
        ),
        "validation": (SourceClip("sub/b.mp4", str(tmp_path / "sub/b.mp4"), "clap", None, 3.0),),
        "test": (SourceClip("/far/c.mp4", "/far/c.mp4", "wave"),),
    }
    assert dataset.mismatches == ()


@pytest.mark.parametrize("given", ["", "train.csv", "val.csv"])
def test_lists_named_like_splits_are_read_together_and_share_their_classes(tmp_path, given):
    (tmp_path / "train.csv").write_text("path,label\na.mp4,walk\nb.mp4,1\n")
    (tmp_path / "val.csv").write_text("path,label\nc.mp4,1\n")
    dataset = own_videos.read(tmp_path / given)
    assert dataset.label_names == ("1", "walk")
    assert [clip.label for clip in dataset.splits["train"]] == ["walk", "1"]
    assert [clip.label for clip in dataset.splits["validation"]] == ["1"]


def test_a_labels_file_decides_the_order_and_what_numbers_mean(tmp_path):
    (tmp_path / "labels.txt").write_text("wave\nclap\nnod\n")
    (tmp_path / "train.csv").write_text("path,label\na.mp4,2\nb.mp4,0\n")
    (tmp_path / "validation.csv").write_text("path,label\nc.mp4,clap\n")
    dataset = own_videos.read(tmp_path)
    assert dataset.label_names == ("wave", "clap", "nod")
    assert [clip.label for clip in dataset.splits["train"]] == ["nod", "wave"]
    assert dataset.mismatches == ("train: no clip of the class clap",)


def test_a_folder_for_each_class_is_read_with_frame_folders_and_without_what_is_no_video(tmp_path):
    _touch(tmp_path, "walk/b.mp4", "walk/a.MOV", "walk/notes.txt", "walk/.DS_Store", "walk/._a.MOV", "walk/deep/x.mp4")
    _touch(tmp_path, "run/c.webm", "run/frames 1/00001.jpg", ".cache/d.mp4", "empty/readme", "__pycache__/x.pyc")
    dataset = own_videos.read(tmp_path, validation_share=0)
    assert dataset.label_names == ("run", "walk")
    assert dataset.splits == {
        "train": (
            SourceClip("run/c.webm", str(tmp_path / "run/c.webm"), "run"),
            SourceClip("run/frames 1", str(tmp_path / "run/frames 1"), "run"),
            SourceClip("walk/a.MOV", str(tmp_path / "walk/a.MOV"), "walk"),
            SourceClip("walk/b.mp4", str(tmp_path / "walk/b.mp4"), "walk"),
        )
    }
    assert dataset.mismatches == (
        "left out 4 entries of the class folders that are no videos: "
        "1 .pyc, 1 .txt, 1 files without an ending, 1 folders without frames",
        "left out 2 folders without a video: __pycache__, empty",
        "validation: no clip, so that training cannot say how good the model is",
    )


def test_folders_of_splits_are_read_class_by_class(tmp_path):
    _touch(tmp_path, "train/run/a.mp4", "train/walk/b.mp4", "val/walk/c.mp4", "test/run/d.mp4", "labels.txt")
    (tmp_path / "labels.txt").write_text("walk\nrun\n")
    dataset = own_videos.read(tmp_path)
    assert dataset.label_names == ("walk", "run")
    assert _ids(dataset, "train") == ["train/run/a.mp4", "train/walk/b.mp4"]
    assert _ids(dataset, "validation") == ["val/walk/c.mp4"]
    assert dataset.splits["test"][0].label == "run"


def test_a_folder_named_train_that_holds_videos_is_the_class_of_trains(tmp_path):
    _touch(tmp_path, "train/a.mp4", "tram/b.mp4")
    assert own_videos.read(tmp_path).label_names == ("train", "tram")


def _class_folders(folder: pathlib.Path, videos: int) -> pathlib.Path:
    _touch(folder, *(f"{name}/{number}.mp4" for name in ("run", "walk") for number in range(videos)))
    return folder


def test_about_the_wanted_share_of_each_class_is_held_out(tmp_path):
    dataset = own_videos.read(_class_folders(tmp_path, 400), validation_share=0.2)
    for name in ("run", "walk"):
        held_out = sum(clip.label == name for clip in dataset.splits["validation"])
        assert 55 <= held_out <= 105  # 80 expected; three standard deviations are 24
    assert len(dataset.splits["train"]) + len(dataset.splits["validation"]) == 800
    assert not set(_ids(dataset, "train")) & set(_ids(dataset, "validation"))


def test_added_videos_and_another_place_move_no_video_to_the_other_split(tmp_path):
    before = own_videos.read(_class_folders(tmp_path / "one", 60))
    _class_folders(tmp_path / "two/elsewhere", 75)
    _touch(tmp_path / "two/elsewhere", "jump/0.mp4", "jump/1.mp4")
    after = own_videos.read(tmp_path / "two/elsewhere")
    assert set(_ids(before, "validation")) < set(_ids(after, "validation"))
    assert set(_ids(before, "train")) < set(_ids(after, "train"))


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_every_class_keeps_a_training_video_and_two_give_one_for_validation(tmp_path, share):
    _touch(tmp_path, "alone/a.mp4", "pair/a.mp4", "pair/b.mp4")
    dataset = own_videos.read(tmp_path, validation_share=share)
    assert sorted(clip.label for clip in dataset.splits["train"]) == ["alone", "pair"]
    assert [clip.label for clip in dataset.splits["validation"]] == ["pair"]


def test_all_clips_of_a_video_are_held_out_together(tmp_path):
    rows = [f"{video}.mp4,x,{start},{start + 1}" for video in range(50) for start in range(4)]
    (tmp_path / "mine.csv").write_text("path,label,start,end\n" + "\n".join(rows))
    dataset = own_videos.read(tmp_path / "mine.csv", validation_share=0.3)
    videos = {split: {clip.path for clip in clips} for split, clips in dataset.splits.items()}
    assert not videos["train"] & videos["validation"]
    assert len(dataset.splits["validation"]) == 4 * len(videos["validation"])
    assert len(videos["validation"]) > 5


def test_a_video_in_two_splits_is_said(tmp_path):
    (tmp_path / "train.csv").write_text("path,label\na.mp4,x\nb.mp4,x\n")
    (tmp_path / "validation.csv").write_text("path,label\n./a.mp4,x\n")
    (mismatch,) = own_videos.read(tmp_path).mismatches
    assert mismatch.startswith("1 videos are in more than one split")
    assert str(tmp_path / "a.mp4") in mismatch


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ({}, "gone", r"gone does not exist; expected a CSV list path,label"),
        ({}, "", r"holds no folders with training videos; expected a CSV list"),
        ({"mine.csv": "path,label\na.mp4,x\n"}, "", r"no folders with training videos, but the list mine\.csv: give"),
        ({"walk/notes.txt": ""}, "", r"holds no folders with training videos; expected"),
        ({"test.csv": "path,label\na.mp4,x\n"}, "", r"there is no train\.csv beside .*test\.csv; expected"),
        ({"train.csv": "", "val.csv": "", "validation.csv": ""}, "", r"val.*are lists of the same split; remove one"),
        ({"m.csv": "path,label,split\na.mp4,x,dev\n"}, "m.csv", r"line 2: .* train, validation or test, not 'dev'"),
        ({"m.csv": "path,label,split\na.mp4,x,train\nb.mp4,x,\n"}, "m.csv", r"line 3: .*not ''; every row of a list"),
        ({"m.csv": "path,label,split\na.mp4,x,test\n"}, "m.csv", r"m\.csv: no row has the split train"),
        ({"train.csv": "path,label\na,x\n", "test.csv": "path,label,split\nb,x,train\n"}, "", r"be test, not 'train'"),
        ({"m.csv": "path,label\na.mp4,x\na.mp4,y\n"}, "m.csv", r"line 3: the clip 'a\.mp4' is already on line 2"),
        ({"m.csv": "path,label\na.mp4,z\n", "labels.txt": "x\ny\n"}, "m.csv", r"line 2: unknown label 'z'"),
        ({"walk/a.mp4": "", "labels.txt": "wolk\nrun\n"}, "", r"unknown label 'walk'; did you mean wolk\?"),
        ({"train/x/a.mp4": "", "val/x/b.mp4": "", "valid/x/c.mp4": ""}, "", r"two folders of the split validation"),
    ],
)
def test_mistakes_are_said_with_what_was_expected(tmp_path, files, given, message):
    for name, text in files.items():
        _touch(tmp_path, name)
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        own_videos.read(tmp_path / given)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(tmp_path, share):
    with pytest.raises(UserError, match="at least 0 and below 1"):
        own_videos.read(tmp_path, validation_share=share)


def test_own_videos_are_recognised_by_a_list_or_by_folders(tmp_path):
    assert not own_videos.looks_like(tmp_path)
    assert not own_videos.looks_like(tmp_path / "gone")
    _touch(tmp_path, "one/a.mp4", "two/train.csv", "mine.csv", "mine.mp4")
    assert own_videos.looks_like(tmp_path)
    assert own_videos.looks_like(tmp_path / "two")
    assert own_videos.looks_like(tmp_path / "mine.csv")
    assert not own_videos.looks_like(tmp_path / "mine.mp4")
