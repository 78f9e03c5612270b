"""Reads a folder of features."""

import functools
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int

from motion_vit.data.features.description import FeaturesDescription, read_description
from motion_vit.data.features.feature_file import FeatureFile, Tokens
from motion_vit.data.sources.clip_index import index_clips
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.outside_text import for_terminal


class FeatureFolder:
    """The features of videos, by number of video and view; may be read from several threads.

    Args:
      path: a folder of `motion-vit features`.

    Attributes:
      path: the folder.
      description: what the features are of.
      labels: classes of the videos, indices into the label names of the description.
      decoded: whether a video could be decoded.

    Raises:
      UserError: there are no features, they are not finished, or a file of them is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = local_path(path)
        self.description = read_description(self.path)
        if not self.description.finished:
            raise UserError(
                f"the features in {self.path} are not finished. Run the command again that makes them: it goes on "
                "where it stopped."
            )
        self._files = [open_feature_file(self.path, self.description, n) for n in range(len(self.description.files))]
        self.labels: Int[np.ndarray, " n"] = np.concatenate([file.labels for file in self._files])
        self.decoded: Bool[np.ndarray, " n"] = np.concatenate([file.decoded for file in self._files])
        if self.labels.min() < 0 or self.labels.max() >= len(self.description.label_names):
            raise UserError(
                f"the features in {self.path} are damaged: a label is none of their classes. Make them anew."
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the features, wherever they lie."""
        return self.description.fingerprint

    def __len__(self) -> int:
        """Returns the number of videos."""
        return self.description.videos

    def read(self, row: int, view: int) -> Tokens:
        """Reads the tokens of a view of a video.

        Args:
          row: number of the video.
          view: number of the view.

        Raises:
          UserError: the file that holds them is damaged.
        """
        file, place = divmod(row, self.description.videos_per_file)
        return self._files[file].read(place, view)

    @functools.cached_property
    def reasons(self) -> Mapping[int, tuple[str, str]]:
        """Names of the videos that could not be decoded, and what is wrong with them, by their numbers."""
        return {video.row: (video.video, video.reason) for video in self.description.undecodable}

    def labels_in(self, source: ClipSource, field: str) -> Int[np.ndarray, " n"]:
        """Numbers the classes as a source does, after a check that the features are of its videos.

        Args:
          source: the videos; its classes may be in another order.
          field: what a message calls the features.

        Returns:
          The class of each video among the label names of the source.

        Raises:
          UserError: the features are of other videos, or labels differ.
        """
        names = self.description.label_names
        unknown = [name for name in names if name not in source.label_names]
        if unknown or self.description.data_fingerprint != source.fingerprint:
            raise UserError(
                f"{field}: the features in {self.path} are of other videos or labels than {source.name}: "
                f"{self._difference(source, unknown)}. Make features of these videos: `motion-vit features "
                f"{source.name} --checkpoint DIR --out FOLDER`."
            )
        places = {name: number for number, name in enumerate(source.label_names)}
        return np.array([places[name] for name in names], np.int32)[self.labels]

    def _difference(self, source: ClipSource, unknown: list[str]) -> str:
        """Says what differs first; reads the labels of the source."""
        described = self.description
        if described.videos != len(source):
            return f"{described.videos} videos there, {len(source)} here"
        if unknown:
            return f"the class {for_terminal(unknown[0])!r} is known there alone"
        ids, numbers = index_clips(source, progress=False)
        for row, (number, label) in enumerate(zip(numbers.tolist(), self.labels.tolist(), strict=True)):
            here, there = source.label_names[number] if number >= 0 else "unreadable", described.label_names[label]
            if here != there:
                return f"{for_terminal(ids[row])} is {for_terminal(there)!r} there and {for_terminal(here)!r} here"
        return "names or times of clips differ"


def open_feature_file(folder: pathlib.Path, description: FeaturesDescription, number: int) -> FeatureFile:
    """Opens one of the files of a folder.

    Args:
      folder: where it lies.
      description: of the folder.
      number: of the file.

    Raises:
      UserError: it is missing, damaged or of other features.
    """
    rows = description.rows_of(number)
    return FeatureFile(
        folder / description.files[number],
        fingerprint=description.fingerprint,
        first_row=rows.start,
        shape=(len(rows), description.views, *description.shape),
        dtype=description.dtype,
    )
