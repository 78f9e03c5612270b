import pathlib

import pytest

from motion_vit.data.datasets.registry import read_dataset
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.open_source import open_source
from motion_vit.errors import UserError


@pytest.fixture(scope="module")
def prepared(video_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A prepared folder with the split `train`, and one clip as `validation`."""
    listed = tmp_path_factory.mktemp("lists") / "all.csv"
    labels = ("clap", "wave", "clap", "wave", "clap", "wave", "clap")
    splits = ("validation", *["train"] * 6)
    rows = [f"{video_folder / f'v{n}.mp4'},{labels[n]},{splits[n]}\n" for n in range(7)]
    listed.write_text("path,label,split\n" + "".join(rows))
    folder = tmp_path_factory.mktemp("prepared")
    prepare_dataset(read_dataset("list", listed, {}), folder, workers=1, progress=False)
    return folder


def test_a_file_is_a_list_and_a_folder_a_split(video_folder: pathlib.Path, prepared: pathlib.Path) -> None:
    assert len(open_source(video_folder / "good.csv", default_split="train")) == 7
    assert len(open_source(prepared, default_split="train")) == 6
    assert len(open_source(prepared, default_split="validation")) == 1
    assert len(open_source(f"{prepared}:validation", default_split="train")) == 1


def test_labels_are_numbered_in_the_order_that_is_asked_for(prepared: pathlib.Path) -> None:
    own = open_source(prepared, default_split="train")
    asked = ("jump", "wave", "clap")
    renumbered = open_source(prepared, default_split="train", label_names=asked)
    assert renumbered.label_names == asked
    assert own.fingerprint == renumbered.fingerprint
    names = [own.label_names[own[row].label] for row in range(6)]
    assert [asked[renumbered[row].label] for row in range(6)] == names


def test_numbers_in_a_list_are_read_with_the_names_beside_it(
    video_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """As many classes in another order must not pass as the model's."""
    listed = tmp_path / "list.csv"
    labels = (1, 0, 1)
    listed.write_text("path,label\n" + "".join(f"{video_folder}/v{n}.mp4,{label}\n" for n, label in enumerate(labels)))
    model = ("clap", "wave")
    assert [clip.label for clip in open_source(listed, default_split="train", label_names=model)] == [1, 0, 1]
    (tmp_path / "labels.txt").write_text("wave\nclap\n")
    matched = open_source(listed, default_split="train", label_names=model)
    assert matched.label_names == model
    assert [clip.label for clip in matched] == [0, 1, 0]
    (tmp_path / "labels.txt").write_text("wave\njump\n")
    with pytest.raises(UserError, match="1 classes that are not among the 2 expected ones, the first of them 'jump'"):
        open_source(listed, default_split="train", label_names=model)


def test_classes_that_a_model_does_not_know_are_a_user_error(prepared: pathlib.Path) -> None:
    with pytest.raises(UserError, match="1 classes that are not among the 2 expected ones, the first of them 'wave'"):
        open_source(prepared, default_split="train", label_names=("clap", "jump"))


def test_what_does_not_exist_is_a_user_error(prepared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="test") as raised:
        open_source(f"{prepared}:test", default_split="train")
    assert "validation" in str(raised.value)
    with pytest.raises(UserError, match=r"neither a prepared folder nor a list file .*nowhere"):
        open_source(tmp_path / "nowhere", default_split="train")
    with pytest.raises(UserError, match="no data is named"):
        open_source("", default_split="train")
    (tmp_path / "one.csv").write_text("path,label\n")
    with pytest.raises(UserError, match="a list file, which has no splits; leave out :validation"):
        open_source(f"{tmp_path / 'one.csv'}:validation", default_split="train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="motion-vit prepare"):
        open_source(tmp_path / "empty", default_split="train")
