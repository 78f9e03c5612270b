"""The data sets of a transfer: videos to learn from, of which subsets are taken, and held-out ones."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence

from motion_vit.data.preparation.subset import write_subset
from motion_vit.data.sources.clip_index import ClipIndex, index_clips
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.manifest import MANIFEST_FILE
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.sources.subset_choice import SubsetSize, choose_rows
from motion_vit.data.sources.tfds_location import is_tfds, parse_tfds
from motion_vit.data.sources.video_list import VideoList
from motion_vit.errors import UserError

_VALIDATION_LISTS = ("validation.csv", "val.csv")
_EXPECTED = (
    "expected a prepared folder, a folder with train.csv and validation.csv, or tfds:NAME, each with the splits train "
    "and validation"
)


@dataclasses.dataclass(frozen=True)
class TransferData:
    """A data set.

    Attributes:
      name: that results are reported under.
      train: location of its training videos.
      validation: location of its held-out videos.
    """

    name: str
    train: str
    validation: str


def find_data(locations: Sequence[str]) -> tuple[TransferData, ...]:
    """Finds the splits of data sets.

    Args:
      locations: prepared folders; folders with `train.csv` and `validation.csv` (or `val.csv`); `tfds:NAME`.

    Returns:
      The data sets, in order.

    Raises:
      UserError: a location is none of these, or two have the same name.
    """
    found = tuple(map(_find, locations))
    names = [data.name for data in found]
    if repeated := [name for number, name in enumerate(names) if name in names[:number]]:
        raise UserError(
            f"two data sets are called {repeated[0]!r}, by the last part of their locations, and results are reported "
            "under these names. Rename a folder."
        )
    return found


def _find(location: str) -> TransferData:
    if is_tfds(location):
        if parse_tfds(location).split:
            raise UserError(f"{location} names one split; {_EXPECTED}.")
        return TransferData(_folder_name(parse_tfds(location).what), location, location)
    folder = pathlib.Path(location)
    name = _folder_name(folder.resolve().name)
    if (folder / MANIFEST_FILE).exists():
        return TransferData(name, location, location)
    lists = [folder / each for each in _VALIDATION_LISTS if os.path.lexists(folder / each)]
    if not os.path.lexists(folder / "train.csv") or not lists:
        raise UserError(f"{location} is no data set to transfer to; {_EXPECTED}.")
    return TransferData(name, str(folder / "train.csv"), str(lists[0]))


def _folder_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.") or "data"


class Subsets:
    """The subsets of a data set that runs train on.

    Args:
      data: the data set.
      folder: where subsets are written.

    Raises:
      UserError: the training videos cannot be opened.
    """

    def __init__(self, data: TransferData, folder: pathlib.Path) -> None:
        self._data, self._folder = data, folder
        self._source: ClipSource = open_source(data.train, default_split="train")
        self._index: ClipIndex | None = None

    def check(self, sizes: Sequence[SubsetSize]) -> None:
        """Checks that there are clips enough for every size.

        Args:
          sizes: how many clips of each class are asked for.

        Raises:
          UserError: there are fewer than two classes, or a class has too few clips.
        """
        for size in sizes:
            choose_rows(self._indexed(), self._source.label_names, size, seed=0, name=self._source.name)

    def location(self, size: SubsetSize, seed: int) -> str:
        """Writes a subset, if it is not there yet.

        Args:
          size: how many clips of each class.
          seed: chooses them.

        Returns:
          Its location, as `data.train` takes it; that of the data set itself for all of its clips.

        Raises:
          UserError: it cannot be written.
        """
        if size.is_everything:
            return self._data.train
        ending = ".csv" if isinstance(self._source, VideoList) else ""
        path = self._folder / self._data.name / f"{folder_of(size)}-seed{seed}{ending}"
        write_subset(self._source, path, size, seed=seed, index=self._indexed())
        return os.path.relpath(path)

    def _indexed(self) -> ClipIndex:
        if self._index is None:
            self._index = index_clips(self._source)
        return self._index


def folder_of(size: SubsetSize) -> str:
    """Names the folder of a size: `all`, `4shots` or `10percent`."""
    text = str(size)
    if size.shots is not None:
        return f"{text}shots"
    return text.replace("%", "percent")
