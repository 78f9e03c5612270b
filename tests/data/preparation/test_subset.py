"""Subsets that are written: a list of a list, a prepared folder of a prepared folder."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from small_tfds import pictures, write_tfds

from motion_vit import UserError
from motion_vit.cli import main
from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.preparation.subset import write_subset
from motion_vit.data.sources.manifest import read_manifest
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.sources.subset_choice import SubsetSize
from motion_vit.data.sources.video_list import read_video_list


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, videos: pathlib.Path) -> pathlib.Path:
    """Five whole videos and three parts of a long one, of the classes clap (3) and wave (5)."""
    rows = [f"v{number}.mp4,{('clap', 'wave')[number % 2]},," for number in range(5)]
    rows += [f"long.mp4,wave,{2 * number + 0.5},{2 * number + 2}" for number in range(3)]
    (videos / "clips.csv").write_text("path,label,start,end\n" + "\n".join(rows) + "\n")
    folder = tmp_path_factory.mktemp("subset") / "prepared"
    source = read_dataset("list", videos / "clips.csv", {"validation_share": 0.0})
    prepare_dataset(source, folder, workers=1, progress=False)
    return folder


def test_a_subset_of_a_list_is_a_list_of_the_same_videos(video_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source = read_video_list(video_folder / "counted.csv")
    written = write_subset(source, tmp_path / "lists" / "two.csv", SubsetSize(shots=2))
    assert written.clips_of_class == {"clap": 2, "wave": 2}
    subset = read_video_list(tmp_path / "lists" / "two.csv")
    assert subset.label_names == source.label_names
    rows = [source.paths.index(path) for path in subset.paths]
    assert rows == sorted(rows)
    for clip, row in zip(subset, rows, strict=True):
        assert (clip.label, clip.frames, clip.video) == (source[row].label, source[row].frames, source[row].video)
    larger = write_subset(source, tmp_path / "three.csv", SubsetSize(shots=3))
    assert set(subset.paths) < set(read_video_list(larger.path).paths)


def test_labels_that_were_given_an_order_keep_it(video_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "labels.txt").write_text("wave\nclap\n")
    rows = [f"{video_folder}/v{number}.mp4,{number % 2}" for number in range(4)]
    (folder / "all.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    source = read_video_list(folder / "all.csv")
    subset = open_source(write_subset(source, tmp_path / "one.csv", SubsetSize(shots=1)).path, default_split="train")
    assert subset.label_names == ("wave", "clap")
    assert all(path.startswith(str(video_folder)) for path in subset.paths)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "labels.txt").write_text("clap\nwave\n")
    with pytest.raises(UserError, match=r"labels.txt names other classes, or in another order, than those of"):
        write_subset(source, tmp_path / "other" / "one.csv", SubsetSize(shots=1))


def test_names_that_a_spreadsheet_would_compute_are_written_as_they_are(
    video_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    rows = [f'{video_folder}/v{number}.mp4,"{("=1+1", "@a, b")[number % 2]}"' for number in range(4)]
    (tmp_path / "odd.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    source = read_video_list(tmp_path / "odd.csv")
    write_subset(source, tmp_path / "one.csv", SubsetSize(shots=1))
    assert read_video_list(tmp_path / "one.csv").label_names == ("=1+1", "@a, b")


def test_another_list_is_not_overwritten(video_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source = read_video_list(video_folder / "good.csv")
    first = write_subset(source, tmp_path / "subset.csv", SubsetSize(shots=1))
    assert write_subset(source, tmp_path / "subset.csv", SubsetSize(shots=1)) == first
    with pytest.raises(UserError, match=r"subset.csv exists and holds something else"):
        write_subset(source, tmp_path / "subset.csv", SubsetSize(shots=2))


def test_a_subset_of_a_prepared_folder_has_the_same_records(prepared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source = open_source(prepared, default_split="train")
    size = SubsetSize(shots=3)
    written = write_subset(source, tmp_path / "three", size, seed=1, workers=1, progress=False)
    subset = open_source(tmp_path / "three", default_split="train")
    assert subset.label_names == source.label_names
    assert subset.clips_of_class == (3, 3)
    whole = {clip.id: clip for clip in source}
    for clip in subset:
        same = whole[clip.id]
        assert (clip.label, clip.first_frame, clip.frames) == (same.label, same.first_frame, same.frames)
        assert clip.video.data == same.video.data
    manifest = read_manifest(tmp_path / "three")
    assert list(manifest.splits) == ["train"]
    assert any("3 of each class, seed 1" in note for note in manifest.mismatches)
    again = write_subset(source, tmp_path / "three", size, seed=1, workers=1, progress=False)
    assert again == written
    with pytest.raises(UserError, match=r"was begun with another list of clips"):
        write_subset(source, tmp_path / "three", SubsetSize(shots=1), workers=1, progress=False)


def test_a_subset_of_a_set_of_tfds_leaves_out_what_cannot_be_read(
    tmp_path: pathlib.Path, numbered: Callable[..., np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    labels = (0, 1, 0, 7, 1, 0)  # of two classes
    clips = [{"video": pictures(numbered(4 + number)), "label": label} for number, label in enumerate(labels)]
    write_tfds(tmp_path / "waves" / "1.0.0", {"train": clips}, label_names=("clap", "wave"))
    source = open_source(f"tfds:{tmp_path / 'waves'}:train", default_split="train")
    written = write_subset(source, tmp_path / "two", SubsetSize(shots=2), workers=1, progress=False)
    assert written.clips_of_class == {"clap": 2, "wave": 2}
    assert "left out 1 record, which cannot be read" in caplog.text
    subset = open_source(tmp_path / "two", default_split="train")
    whole = {f"train/{number}": (label, 4 + number) for number, label in enumerate(labels)}
    assert all(whole[clip.id] == (clip.label, clip.frames) for clip in subset)


def test_the_command_says_what_it_took_and_refuses_more_than_there_is(
    video_folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "subset", str(video_folder / "good.csv"), "--out", str(tmp_path / "a.csv")]
    assert main([*command, "--share", "0.5"]) == 0
    assert "4 clips of 2 classes, 2 of each; of the 7 of" in capsys.readouterr().out
    assert main([*command, "--shots", "4"]) == 2
    assert "1 class of" in capsys.readouterr().err
