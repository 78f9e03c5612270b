"""Folders that are only ever seen whole."""

import pathlib
import sys

import pytest

from motion_vit.errors import UserError
from motion_vit.training.checkpoints.whole_folder import check_can_be_made, whole_folder


def test_a_folder_that_can_be_made_is_found_so_without_a_trace(tmp_path: pathlib.Path) -> None:
    check_can_be_made(tmp_path / "new" / "deep" / "folder")
    (tmp_path / "empty").mkdir()
    check_can_be_made(tmp_path / "empty")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    with whole_folder(tmp_path / "new" / "deep" / "folder") as folder:
        (folder / "file").touch()
    assert (tmp_path / "new" / "deep" / "folder" / "file").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file/in/it", "Not a directory|is a file"),
        ("x" * 250, "File name too long"),
        pytest.param("/proc/new", "cannot be made", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux")),
        ("full", "is not empty"),
        ("file", "is a file; give a new or an empty folder"),
    ],
)
def test_a_folder_that_cannot_be_made_is_told(tmp_path: pathlib.Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match=message):
        check_can_be_made(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
