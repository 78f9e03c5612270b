"""Writes a folder of features, file by file, so that a writer that is killed goes on after the last whole one."""

import contextlib
import dataclasses
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from motion_vit.counts import counted
from motion_vit.data.features.description import (
    FEATURES_FILE,
    FeaturesDescription,
    UndecodableVideo,
    read_description,
)
from motion_vit.data.features.feature_file import FeatureRows, write_feature_file
from motion_vit.data.features.feature_folder import open_feature_file
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UNFINISHED, UnwritableError, make_folder, write_text, writing
from motion_vit.files.csv_file import csv_text
from motion_vit.files.folder_lock import LOCK_FILE, locked_folder

INDEX_FILE = "videos.csv"
"""Names, classes and places of the videos, for people and other programs."""


class FeatureWriter:
    """Takes the features of videos in their order and writes them; `open_feature_writer` makes one.

    Args:
      folder: where they go.
      description: of what is computed; it decides names and sizes of the files.

    Attributes:
      missing: numbers of the files that are not there yet.
    """

    def __init__(self, folder: pathlib.Path, description: FeaturesDescription) -> None:
        self._folder, self._description = folder, description
        self.missing = [number for number in range(len(description.files)) if not self._is_there(number)]
        self._buffer: FeatureRows | None = None
        self._number = -1

    @property
    def rows(self) -> Int[np.ndarray, " n"]:
        """Numbers of the videos whose features are not there yet, in the order in which `add` takes them."""
        ranges = [np.arange(rows.start, rows.stop) for rows in map(self._description.rows_of, self.missing)]
        return np.concatenate([np.zeros(0, np.int64), *ranges])

    @property
    def bytes_missing(self) -> int:
        """Bytes of the tokens that are not there yet."""
        return len(self.rows) * self._description.bytes_per_video

    def check_space(self) -> None:
        """Checks that the disk takes what is missing.

        Raises:
          UserError: it has less room.
        """
        with writing(self._folder):
            free = shutil.disk_usage(self._folder).free
        if self.bytes_missing > free:
            raise UserError(
                f"the features take {self.bytes_missing / 1e9:.3g} GB, but {self._folder} has {free / 1e9:.3g} GB "
                "free. Make room, name another place, or keep fewer tokens (--pool) or views."
            )

    def add(
        self,
        rows: Int[np.ndarray, " n"],
        views: Int[np.ndarray, " n"],
        tokens: Float[np.ndarray, "n frames tokens width"],
        labels: Int[np.ndarray, " n"],
        decoded: Bool[np.ndarray, " n"],
    ) -> None:
        """Takes views of videos; whenever a file is full, the next view writes it.

        Args:
          rows: numbers of the videos, not falling.
          views: numbers of their views.
          tokens: of each view.
          labels: classes of the videos.
          decoded: whether the videos could be decoded; if not, their tokens are not looked at.

        Raises:
          UnwritableError: the disk is full or refuses.
        """
        for place, row in enumerate(rows.tolist()):
            buffer = self._buffer_of(row // self._description.videos_per_file, tokens.dtype)
            inside = row % self._description.videos_per_file
            buffer.labels[inside], buffer.decoded[inside] = labels[place], decoded[place]
            if decoded[place]:
                buffer.tokens[inside, views[place]] = tokens[place]

    def flush(self) -> None:
        """Writes the file that `add` fills now, once its last video was added.

        Raises:
          UnwritableError: the disk is full or refuses.
        """
        if self._buffer is None:
            return
        described = self._description
        write_feature_file(
            self._folder / described.files[self._number],
            self._buffer,
            fingerprint=described.fingerprint,
            first_row=described.rows_of(self._number).start,
        )
        self._buffer = None

    def finish(self, ids: Sequence[str], undecodable: Sequence[UndecodableVideo]) -> FeaturesDescription:
        """Writes the index and the description; all files are there.

        Args:
          ids: names of all videos.
          undecodable: those that could not be decoded.

        Returns:
          The description of the finished folder.

        Raises:
          UnwritableError: the disk is full or refuses.
        """
        finished = dataclasses.replace(self._description, finished=True, undecodable=tuple(undecodable))
        write_text(self._folder / INDEX_FILE, csv_text(self._index(ids), exact=True))
        write_text(self._folder / FEATURES_FILE, finished.to_json())
        return finished

    def undecoded_rows(self) -> list[int]:
        """Numbers the videos that could not be decoded, of the files that are there."""
        return [row for row, (_, decoded) in enumerate(self._labels_and_decoded()) if not decoded]

    def _index(self, ids: Sequence[str]) -> Iterator[tuple[str | int, ...]]:
        yield "path", "label", "decoded", "file", "place"
        names, per_file = self._description.label_names, self._description.videos_per_file
        for row, (label, decoded) in enumerate(self._labels_and_decoded()):
            file, place = divmod(row, per_file)
            yield ids[row], names[label], int(decoded), self._description.files[file], place

    def _labels_and_decoded(self) -> Iterator[tuple[int, bool]]:
        for number in range(len(self._description.files)):
            file = open_feature_file(self._folder, self._description, number)
            yield from zip(file.labels.tolist(), file.decoded.tolist(), strict=True)

    def _is_there(self, number: int) -> bool:
        try:
            open_feature_file(self._folder, self._description, number)
        except UserError:  # missing, or cut by a disk that lost it: made again
            return False
        return True

    def _buffer_of(self, number: int, dtype: np.dtype) -> FeatureRows:
        if number != self._number or self._buffer is None:
            self.flush()
            videos = len(self._description.rows_of(number))
            self._number = number
            self._buffer = FeatureRows(
                np.zeros((videos, self._description.views, *self._description.shape), dtype),
                np.zeros(videos, np.int32),
                np.zeros(videos, bool),
            )
        return self._buffer


@contextlib.contextmanager
def open_feature_writer(folder: pathlib.Path, description: FeaturesDescription) -> Iterator[FeatureWriter]:
    """Begins a folder of features, or goes on with one that was begun, and holds its lock.

    Args:
      folder: a new or empty folder, or one that was begun with the same description.
      description: of what is computed; it decides names and sizes of the files.

    Yields:
      The writer.

    Raises:
      UserError: the folder holds something else, or another process is writing into it.
      UnwritableError: it cannot be written.
    """
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked_folder(folder, "computing features"))
        except OSError as error:
            raise UnwritableError(str(folder), error.strerror or str(error), "Name another place.") from error
        begun = _begun(folder, description)
        for left_over in folder.glob(f"{UNFINISHED}*"):
            left_over.unlink(missing_ok=True)
        if begun is None:
            write_text(folder / FEATURES_FILE, description.to_json())
        yield FeatureWriter(folder, begun or description)


def _begun(folder: pathlib.Path, description: FeaturesDescription) -> FeaturesDescription | None:
    """Reads the description of a folder that was begun, None for a new one."""
    if not (folder / FEATURES_FILE).exists():
        others = (path.name for path in folder.iterdir() if path.name != LOCK_FILE)
        if found := sorted(name for name in others if not name.startswith(UNFINISHED)):
            raise UserError(
                f"{folder} holds {counted(len(found), 'file')}, such as {found[0]!r}, and no features. Name a new or "
                "empty folder."
            )
        return None
    begun = read_description(folder)
    if differences := description.differences(begun):
        lines = "\n".join(f"  {difference}" for difference in differences)
        raise UserError(
            f"{folder} holds other features:\n{lines}\nName another folder, or remove this one to make it anew."
        )
    # How videos are dealt out to files is a matter of the folder.
    return begun
