import pathlib

import pytest

from motion_vit.data.datasets.registry import DATASETS, read_dataset
from motion_vit.errors import UserError

DOCS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "datasets"
PAGES = {"list": "own_videos", **{f"kinetics{classes}": "kinetics" for classes in (400, 600, 700)}}


@pytest.fixture
def hmdb51_like(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the label files of HMDB51."""
    folder = tmp_path / "testTrainMulti_7030_splits"
    folder.mkdir()
    (folder / "brush_hair_test_split1.txt").write_text("one.avi 1\n")
    (tmp_path / "brush_hair").mkdir()
    (tmp_path / "brush_hair" / "one.avi").touch()
    return tmp_path


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_a_page_with_its_command(name: str) -> None:
    page = DOCS / f"{PAGES.get(name, name)}.md"
    assert f"motion-vit prepare {name}" in page.read_text(encoding="utf-8")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'kinetics400'"):
        read_dataset("kinetic400", ".", {})


def test_a_missing_source_is_a_user_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_dataset("ucf101", tmp_path / "nowhere", {})


def test_the_folder_of_another_dataset_is_recognised(hmdb51_like: pathlib.Path) -> None:
    with pytest.raises(UserError, match="does not look like ucf101, but like hmdb51: run `motion-vit prepare hmdb51"):
        read_dataset("ucf101", hmdb51_like, {})


def test_ones_own_videos_are_not_a_published_dataset(hmdb51_like: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="does not look like your own videos, but like hmdb51"):
        read_dataset("list", hmdb51_like, {})
    own = hmdb51_like / "brush_hair"  # a part of it that only its owner can give a meaning
    (own / "class").mkdir()
    (own / "one.avi").rename(own / "class" / "one.avi")
    assert read_dataset("list", own, {}).label_names == ("class",)


def test_an_option_of_another_dataset_is_refused(hmdb51_like: pathlib.Path) -> None:
    with pytest.raises(UserError, match="subset is no option of hmdb51, but of finegym"):
        read_dataset("hmdb51", hmdb51_like, {"subset": "gym99", "split_number": 1})
