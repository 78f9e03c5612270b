"""Reads splits of a prepared dataset, with random access to ArrayRecord shards.

tensorflow_datasets reads the same folders, without TensorFlow and without this library:
`tfds.builder_from_directory(folder).as_data_source(split)`.

Importing the module takes a second, also where a split is unpickled: no thread of a loader imports anything later.
"""

import bisect
import dataclasses
import functools
import itertools
import os
import pathlib
from typing import Any

from array_record.python.array_record_data_source import ArrayRecordDataSource

from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.sources.frame_rates import median_rate
from motion_vit.data.sources.label_likeness import warn_of_lookalikes
from motion_vit.data.sources.manifest import Manifest, ShardEntry, SplitManifest, read_manifest
from motion_vit.data.sources.record_parser import parse_record
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import JpegFrames, VideoBytes
from motion_vit.errors import UserError

_SHOWN_BAD = 3


@dataclasses.dataclass(frozen=True)
class _ShardRead:
    """A whole shard as an array_record file instruction: a file, and the range of its records."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedSplit:
    """A split of a prepared dataset, as a `ClipSource`.

    Attributes:
      folder: the prepared folder.
      split: its name, such as "train".
      label_names: the names of the classes, in the order of the model's outputs.
      manifest: its part of the dataset's manifest.
    """

    folder: pathlib.Path
    split: str
    label_names: tuple[str, ...]
    manifest: SplitManifest

    @property
    def name(self) -> str:
        """The folder and the split, as recipes and commands name them."""
        return f"{self.folder}:{self.split}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the label names and every record."""
        return self.manifest.fingerprint

    @property
    def clips_of_class(self) -> tuple[int, ...]:
        """The number of clips of each class, in the order of `label_names`."""
        return tuple(self.manifest.clips_of_class.get(name, 0) for name in self.label_names)

    @functools.cached_property
    def frame_rate(self) -> float:
        """The median of the videos' frames per second; 0.0 of JPEG frames and of older prepared folders."""
        return median_rate(float(rate) for rate, clips in self.manifest.rates.items() for _ in range(clips))

    def __len__(self) -> int:
        """Returns the number of clips."""
        return self.manifest.clips

    @functools.cached_property
    def _records(self) -> Any:
        """The array_record reader, which opens a shard at its first read, and again in another process."""
        shards = [shard for shard in self.manifest.shards if shard.clips]
        return ArrayRecordDataSource(
            [_ShardRead(os.fspath(self.folder / shard.name), 0, shard.clips, shard.clips) for shard in shards]
        )

    def shard_of(self, row: int) -> str:
        """Returns the path of the shard that holds clip number `row`."""
        ends = list(itertools.accumulate(shard.clips for shard in self.manifest.shards))
        return os.fspath(self.folder / self.manifest.shards[bisect.bisect_right(ends, row)].name)

    def __getitem__(self, row: int) -> StoredClip:
        """Reads clip number `row`, without decoding it.

        Args:
          row: the number of the clip, from 0 on.

        Returns:
          The clip, with its video in memory.

        Raises:
          IndexError: there is no such row.
          VideoDecodeError: the record is damaged, or its shard is gone.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"{self.name} has the clips 0 to {len(self) - 1}; asked for {row}")
        try:
            record = parse_record(self._records[row])
        except (RuntimeError, ValueError) as error:
            raise VideoDecodeError(
                f"{self.name}, clip number {row}",
                f"its record cannot be read ({error}); copy the folder again, or delete the shard and prepare it again",
            ) from error
        name = f"{self.name}:{record.id}"
        video = VideoBytes(name, record.data) if isinstance(record.data, bytes) else JpegFrames(name, record.data)
        return StoredClip(record.id, record.label, video, first_frame=record.first_frame, frames=record.frames)


def _check_shards(folder: pathlib.Path, shards: tuple[ShardEntry, ...]) -> None:
    """Compares the files with the manifest: array_record takes a missing shard for an empty one."""
    missing, altered = [], []
    for shard in shards:
        try:
            if (folder / shard.name).stat().st_size != shard.bytes:
                altered.append(shard.name)
        except OSError:
            missing.append(shard.name)
    if not missing and not altered:
        return
    kinds = ((missing, "missing"), (altered, "of another size"))
    found = " and ".join(f"{len(names)} {what} (such as {names[0]})" for names, what in kinds if names)
    raise UserError(
        f"{folder} does not hold what its manifest says: of {len(shards)} shards, {found}. Copy the folder again, or "
        "run the command that prepared it again: it makes these shards anew and keeps the others"
    )


def _check_complete(folder: pathlib.Path, manifest: Manifest) -> None:
    if manifest.complete:
        return
    bad = [clip for split in manifest.splits.values() for clip in split.bad]
    shown = "\n".join(f"  {clip.id}: {clip.reason}" for clip in bad[:_SHOWN_BAD])
    more = f"\n  and {len(bad) - _SHOWN_BAD} more" if len(bad) > _SHOWN_BAD else ""
    raise UserError(
        f"{folder} is not ready: {len(bad)} clips cannot be used:\n{shown}{more}\n"
        "Repair them and run the command that prepared the folder again, or leave them out with --skip-bad"
    )


def open_prepared(folder: str | os.PathLike[str], split: str) -> PreparedSplit:
    """Opens a split of a prepared dataset.

    Args:
      folder: the prepared folder.
      split: the split, such as "train".

    Returns:
      The split's clips. They can be read from several threads and, pickled, from several processes.

    Raises:
      UserError: the folder is not a prepared dataset or is not complete, a newer version of this library prepared it,
        it has no such split, or a shard is missing or has another size than was written.
    """
    path = pathlib.Path(folder)
    manifest = read_manifest(path)
    _check_complete(path, manifest)
    if split not in manifest.splits:
        raise UserError(f"{path} has no split {split!r}; it has {', '.join(manifest.splits)}")
    _check_shards(path, manifest.splits[split].shards)
    warn_of_lookalikes(str(path), manifest.label_names)
    return PreparedSplit(path, split, manifest.label_names, manifest.splits[split])
