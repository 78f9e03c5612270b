"""Reads splits of sets that tensorflow_datasets has prepared, with random access and without TensorFlow.

Importing the module takes a second, also where a split is unpickled: no thread of a loader imports anything later.
"""

import bisect
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, overload

from array_record.python.array_record_data_source import ArrayRecordDataSource
from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2

from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.sources.label_likeness import warn_of_lookalikes
from motion_vit.data.sources.tfds_features import TfdsFeatures, read_tfds_features
from motion_vit.data.sources.tfds_location import (
    INFO_FILE,
    PREFIX,
    TfdsLocation,
    find_tfds_folder,
    how_to_prepare,
)
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import EncodedVideo, JpegFrames, VideoBytes
from motion_vit.errors import UserError, did_you_mean

_FILE_FORMAT = "array_record"


@dataclasses.dataclass(frozen=True)
class ShardPart:
    """Consecutive records of a shard, as a file instruction of array_record.

    Attributes:
      filename: path of the shard.
      skip: records before them.
      take: number of records.
      examples_in_shard: number of all records of the shard.
      split: the split that the shard belongs to.
      first: number of their first one in the split.
    """

    filename: str
    skip: int
    take: int
    examples_in_shard: int
    split: str
    first: int


class _CountedClasses(Sequence[int]):
    """The clips of each class, counted when the first of these numbers is asked for: most losses ask for none."""

    def __init__(self, split: "TfdsSplit") -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split.label_names)

    @overload
    def __getitem__(self, number: int) -> int: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[int, ...]: ...
    def __getitem__(self, number: int | slice) -> int | tuple[int, ...]:
        return self._split.counts[number]


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsSplit:
    """A split of a set of tensorflow_datasets, or a slice of one, as a `ClipSource`.

    Attributes:
      name: the location that it was opened by, with the split.
      features: the features of the set that a clip is made of.
      parts: the records, in order.
      fingerprint: SHA-256 of the set's description, of the names and sizes of its files, and of which records are read.
        The records themselves are not read.
    """

    name: str
    features: TfdsFeatures
    parts: tuple[ShardPart, ...]
    fingerprint: str

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs."""
        return self.features.label_names

    @property
    def clips_of_class(self) -> Sequence[int]:
        """The number of clips of each class; the first that is asked for reads every record."""
        return _CountedClasses(self)

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        """The number of clips of each class, without those that cannot be read; takes a reading of every record."""
        counts: Counter[int] = Counter()
        for row in range(len(self)):
            try:
                counts[self[row].label] += 1
            except VideoDecodeError:
                continue
        return tuple(counts[number] for number in range(len(self.label_names)))

    @property
    def frame_rate(self) -> float:
        """The frames per second that the set says; 0.0 if it does not."""
        return self.features.fps

    def __len__(self) -> int:
        """Returns the number of clips."""
        return self._starts[-1]

    @functools.cached_property
    def _starts(self) -> list[int]:
        """The row at which each part starts, and the number of all rows."""
        return [0, *itertools.accumulate(part.take for part in self.parts)]

    @functools.cached_property
    def _records(self) -> Any:
        """The array_record reader, which opens a shard at its first read, and again in another process."""
        return ArrayRecordDataSource(list(self.parts))

    def shard_of(self, row: int) -> str:
        """Returns the path of the shard that holds clip number `row`."""
        return self.parts[bisect.bisect_right(self._starts, row) - 1].filename

    def __getitem__(self, row: int) -> StoredClip:
        """Reads clip number `row`, without decoding it.

        Args:
          row: the number of the clip, from 0 on.

        Returns:
          The clip, with its video in memory. Its name is that of the split and its number there, also in a slice.

        Raises:
          IndexError: there is no such row.
          VideoDecodeError: the record is damaged, has no frames or no class, or its shard is gone.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"{self.name} has the clips 0 to {len(self) - 1}; asked for {row}")
        at = bisect.bisect_right(self._starts, row) - 1
        clip_id = f"{self.parts[at].split}/{self.parts[at].first + row - self._starts[at]}"
        name = f"{self.name}, clip {clip_id}"
        try:
            feature = tf_example_pb2.Example.FromString(self._records[row]).features.feature
        # What array_record raises differs with the damage.
        except (RuntimeError, ValueError, IndexError, OSError, DecodeError) as error:
            raise VideoDecodeError(
                name, f"its record cannot be read ({error}); copy the set again, or prepare it again"
            ) from error
        numbers = feature[self.features.label].int64_list.value
        if len(numbers) != 1 or not 0 <= numbers[0] < len(self.label_names):
            raise VideoDecodeError(
                name,
                f"its class is {list(numbers[:2])}; expected one number from 0 to {len(self.label_names) - 1}, and a "
                "clip without a class cannot be used",
            )
        data = tuple(feature[self.features.video].bytes_list.value)
        if not data:
            raise VideoDecodeError(name, f"its feature {self.features.video} is empty")
        video: EncodedVideo = JpegFrames(name, data, self.features.fps)
        if self.features.holds_file:
            video = VideoBytes(name, data[0])
        return StoredClip(clip_id, numbers[0], video, frames=None if self.features.holds_file else len(data))


def open_tfds(location: TfdsLocation, default_split: str) -> TfdsSplit:
    """Opens a split, or a slice of one.

    Args:
      location: from `tfds_location.parse_tfds`.
      default_split: split to read where the location names none.

    Returns:
      The clips. They can be read from several threads and, pickled, from several processes.

    Raises:
      UserError: the set is not prepared, or not as ArrayRecord; it has no such split or feature, the slice holds no
        clip, a shard is missing, or its description is damaged.
    """
    return _open_split(location, find_tfds_folder(location.what), location.split or default_split)


def open_tfds_splits(location: TfdsLocation) -> list[TfdsSplit]:
    """Opens all splits of a set, in its order; the named one alone where the location names one.

    Args:
      location: from `tfds_location.parse_tfds`.

    Returns:
      The splits.

    Raises:
      UserError: as `open_tfds`.
    """
    folder = find_tfds_folder(location.what)
    names = [location.split] if location.split else _splits(folder, location.what)
    return [_open_split(location, folder, name) for name in names]


def _open_split(location: TfdsLocation, folder: pathlib.Path, split: str) -> TfdsSplit:
    splits = _splits(folder, location.what)
    features = read_tfds_features(folder, video=location.video, label=location.label)
    name = f"{PREFIX}{location.what}:{split}"
    parts = _parts(splits, split, name)
    sizes = [_size(part.filename) for part in parts]
    names = [os.path.basename(part.filename) for part in parts]
    read = [[part.skip, part.take] for part in parts]
    described = json.dumps([dataclasses.asdict(features), names, sizes, read])
    warn_of_lookalikes(name, features.label_names)
    return TfdsSplit(name, features, parts, hashlib.sha256(described.encode()).hexdigest())


def _splits(folder: pathlib.Path, what: str) -> Any:
    """Reads the splits of a set, a mapping that also takes slices, in the words of tensorflow_datasets."""
    # What reads them takes half a second to import, for which an unpickled split need not wait.
    from tensorflow_datasets.core import dataset_info

    try:
        info = dataset_info.read_proto_from_builder_dir(folder)
        if _FILE_FORMAT in dataset_info.available_file_formats(info):
            return dataset_info.get_split_dict_from_proto(info, folder, _FILE_FORMAT)
    # Whatever is wrong with the file, tensorflow_datasets and protocol buffers have a class of their own for it.
    except Exception as error:
        raise UserError(
            f"{folder / INFO_FILE} is no description of a prepared set, or is damaged ({error}); copy the folder "
            "again, or prepare the set again."
        ) from error
    raise UserError(
        f"{folder} is stored as {info.file_format or 'an unknown format'}, which cannot be read at random; expected "
        f"array_record. {how_to_prepare(what if what.count('/') < 2 else info.name)} The folder must be another one, "
        "or empty: give tfds.builder a data_dir."
    )


def _parts(splits: Any, split: str, name: str) -> tuple[ShardPart, ...]:
    """Finds the records of a split or slice."""
    try:
        instructions = splits[split].file_instructions
    except (ValueError, KeyError, AssertionError) as error:
        raise UserError(
            f"{name}: there is no such split, or its slice is malformed.{did_you_mean(split, splits)} The splits are "
            f"{', '.join(splits)}, and slices are written as in train[:80%] or train[100:200]."
        ) from error
    shards = {
        os.fspath(path): (info.name, start)
        for info in splits.values()
        for path, start in zip(info.filepaths, itertools.accumulate(info.shard_lengths, initial=0), strict=False)
    }
    parts = []
    for part in instructions:
        own, start = shards[os.fspath(part.filename)]
        path = os.fspath(part.filename)
        parts.append(ShardPart(path, part.skip, part.take, part.examples_in_shard, own, start + part.skip))
    if not parts or any(part.take <= 0 for part in parts):
        raise UserError(f"{name} holds no clip; give a split or slice that has some.")
    return tuple(parts)


def _size(path: str) -> int:
    """Returns the size of a shard: array_record takes a missing one for an empty one."""
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise UserError(
            f"the shard {path} cannot be read: {error.strerror}. Copy the folder again, or prepare the set again."
        ) from error
