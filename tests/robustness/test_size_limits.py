"""Files that are longer than any good one are refused before they are read; SECURITY.md names the limits."""

import pathlib
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from motion_vit import UserError
from motion_vit.data.sources.open_source import open_source
from motion_vit.interop.files.torch_files import open_state_dict
from motion_vit.interop.importing.label_file import read_label_file
from motion_vit.training.checkpoints.weights_folder import read_weights_folder

MEBIBYTE = 2**20


def read_list(folder: pathlib.Path) -> None:
    open_source(folder / "file", default_split="train")


def read_names(folder: pathlib.Path) -> None:
    read_label_file(folder / "file")


@pytest.mark.parametrize(
    ("read", "name", "limit"),
    [
        (read_list, "file", 1024 * MEBIBYTE),
        (read_names, "file", 16 * MEBIBYTE),
        (read_weights_folder, "config.json", 64 * MEBIBYTE),
    ],
    ids=["list", "class names", "config.json"],
)
def test_a_file_of_more_bytes_than_the_limit_is_not_read(
    read: Callable[[pathlib.Path], object], name: str, limit: int, tmp_path: pathlib.Path
) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(limit + 1)  # which takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=f"{limit + 1} bytes"):
            read(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


def test_a_pickle_of_more_bytes_than_the_limit_is_not_read(tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / "weights.pth", "w") as archive:
        archive.writestr("weights/data.pkl", b"\x80\x02]" + b"N0" * MEBIBYTE + b".")
    with (
        pytest.raises(UserError, match=rf"data\.pkl claims {2 * MEBIBYTE + 4} bytes; {2 * MEBIBYTE} can be"),
        open_state_dict(tmp_path / "weights.pth"),
    ):
        pass
