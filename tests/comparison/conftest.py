"""A finished comparison, and the arithmetic that training runs under."""

import pathlib
import shutil
from collections.abc import Iterator

import pytest
from small_comparison import SPLITS, row, standard_promotion

from motion_vit.comparison.compare import compare


@pytest.fixture(autouse=True)
def _standard_promotion() -> Iterator[None]:
    with standard_promotion():
        yield


@pytest.fixture(scope="session")
def _small_comparison(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("comparison")
    with standard_promotion():
        assert compare({"small": row()}, workdir, splits=SPLITS)
    return workdir


@pytest.fixture
def workdir(_small_comparison: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """Folder in which the row `small` is finished with the seed 0, to be changed at will."""
    return shutil.copytree(_small_comparison, tmp_path / "comparison")
