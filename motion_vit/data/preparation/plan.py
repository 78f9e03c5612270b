"""Plans the shards before anything is written: their clips, and the fingerprints of everything that they depend on."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import stat
from collections import Counter
from collections.abc import Mapping

from motion_vit.counts import counted
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.preparation.clip_encoding import CODECS, Codec
from motion_vit.data.preparation.shard import ShardTask
from motion_vit.data.sources.manifest import FORMAT_VERSION
from motion_vit.data.sources.record import Storage
from motion_vit.errors import UserError
from motion_vit.files.broken_link import broken_link

FILENAME_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
"""The names of the shards, in the words of tensorflow_datasets."""

FILE_FORMAT = "array_record"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# A shard is the least that an interrupted preparation repeats, and every reading process holds every shard open, of
# which operating systems allow about a thousand.
_LEAST_CLIPS_A_SHARD = 64
_MOST_SHARDS = 512
# Asking a network's file system for a file takes milliseconds in which others can be asked for.
_STAT_THREADS = 16


@dataclasses.dataclass(frozen=True)
class FileStamp:
    """The size and time by which a change of a file or folder is detected.

    Attributes:
      bytes: size of a file, 0 for a folder.
      modified: time of modification in nanoseconds; for a folder, of the last file added or removed.
      is_folder: whether it is a folder.
    """

    bytes: int
    modified: int
    is_folder: bool


Stamps = Mapping[str, FileStamp | None]
"""Path -> stamp, or None for what does not exist."""


def _stamp(path: str) -> FileStamp | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a path may hold what no file system takes
        return None
    is_folder = stat.S_ISDIR(found.st_mode)
    return FileStamp(0 if is_folder else found.st_size, found.st_mtime_ns, is_folder)


def stamp_files(source: SourceDataset) -> Stamps:
    """Stats every file of a download.

    Args:
      source: the download.

    Returns:
      Path -> stamp.

    Raises:
      UserError: None of the files exists.
    """
    paths = list(dict.fromkeys(clip.path for clips in source.splits.values() for clip in clips))
    with concurrent.futures.ThreadPoolExecutor(_STAT_THREADS) as pool:
        stamps = dict(zip(paths, pool.map(_stamp, paths), strict=True))
    if not any(stamps.values()):
        nowhere = broken_link(paths[0])
        raise UserError(
            f"not one of the {counted(len(paths), 'video')} of {source.name} exists, the first of them {paths[0]}"
            f"{f', which is {nowhere}' if nowhere else ''}; "
            "is the folder of the videos where the dataset's layout has it?"
        )
    return stamps


def choose_storage(source: SourceDataset, codec: Codec, stamps: Stamps) -> Storage:
    """Chooses the kind of data in the records of a dataset: that of most clips, so that a stray one costs no others.

    Args:
      source: the download.
      codec: how clips are encoded.
      stamps: the stamps of the files.

    Returns:
      The storage.
    """
    if source.storage is not None:
        return source.storage if codec == "copy" else "video"
    kinds = Counter(found.is_folder for found in stamps.values() if found is not None)
    return "jpegs" if codec == "copy" and kinds[True] > kinds[False] else "video"


def check_source(source: SourceDataset, codec: str) -> None:
    """Checks a dataset and a codec, as far as possible without opening a video.

    Args:
      source: the download.
      codec: name of the codec.

    Raises:
      UserError: there is no such codec; there are no clips; a name cannot be written into the dataset's files; an id
        occurs twice in a split; or a clip's label is not among the label names.
    """
    if codec not in CODECS:
        raise UserError(f"the codec must be {' or '.join(CODECS)}; given {codec!r}")
    for what, name in (("dataset", source.name), *(("split", split) for split in source.splits)):
        if not _NAME.fullmatch(name):
            raise UserError(f"the name of a {what} must be of lower case letters, digits and _; given {name!r}")
    for name, count in Counter(name.strip() for name in source.label_names).items():
        if count > 1 or len(name.splitlines()) != 1:  # they are written one a line
            raise UserError(f"{source.name}: labels must differ, and each be one line of text; given {name!r} {count}x")
    for split, clips in source.splits.items():
        _check_clips(f"{source.name}, split {split}", clips, set(source.label_names))
    if not source.splits:
        raise UserError(f"{source.name} has no splits to prepare")


def _check_clips(where: str, clips: tuple[SourceClip, ...], labels: set[str]) -> None:
    if not clips:
        raise UserError(f"{where} has no clips")
    [(name, count)] = Counter(clip.id for clip in clips).most_common(1)
    if count > 1:
        raise UserError(f"{where}: the clip {name!r} comes {count} times; ids must differ")
    for clip in clips:
        if clip.label not in labels:
            raise UserError(f"{where}: the label {clip.label!r} of the clip {clip.id!r} is not among the label names")
        try:
            clip.id.encode()
        except UnicodeEncodeError:
            raise UserError(f"{where}: the name {clip.id!r} is not valid UTF-8; rename the file") from None


def clips_a_shard(clips: int) -> int:
    """Chooses the number of consecutive clips in a shard.

    Args:
      clips: the number of clips of the split.

    Returns:
      A power of two that depends on nothing else.
    """
    size = _LEAST_CLIPS_A_SHARD
    while clips > size * _MOST_SHARDS:
        size *= 2
    return size


def source_digest(clips: tuple[SourceClip, ...]) -> str:
    """Fingerprints the names and labels of a split, whatever its files hold.

    Args:
      clips: the clips of the split.

    Returns:
      SHA-256.
    """
    return _digest([[clip.id, clip.label, clip.start, clip.end] for clip in clips])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def plan_shards(
    source: SourceDataset,
    folder: pathlib.Path,
    stamps: Stamps,
    *,
    codec: Codec,
    storage: Storage,
    verify: bool,
    clips_per_shard: int | None,
) -> tuple[ShardTask, ...]:
    """Divides the splits of a download among shards.

    Args:
      source: the download.
      folder: the prepared folder.
      stamps: the stamps of its files.
      codec: "copy" or "h264-fast".
      storage: kind of data in the records.
      verify: whether every frame is decoded.
      clips_per_shard: clips of a shard; None to choose it by the number of clips.

    Returns:
      The shards, split by split.
    """
    tasks = []
    for split, clips in source.splits.items():
        size = clips_per_shard or clips_a_shard(len(clips))
        slices = [clips[start : start + size] for start in range(0, len(clips), size)]
        for number, part in enumerate(slices):
            tasks.append(
                ShardTask(
                    folder=folder,
                    name=f"{source.name}-{split}.{FILE_FORMAT}-{number:05d}-of-{len(slices):05d}",
                    split=split,
                    clips=part,
                    label_names=source.label_names,
                    codec=codec,
                    storage=storage,
                    verify=verify,
                    inputs=_inputs(part, source.label_names, stamps, codec, storage),
                )
            )
    return tuple(tasks)


def _inputs(
    clips: tuple[SourceClip, ...], label_names: tuple[str, ...], stamps: Stamps, codec: Codec, storage: Storage
) -> str:
    """Fingerprints the inputs of a shard, but not the location of the download, so that it can be moved."""
    stamped = [(clip, stamps[clip.path]) for clip in clips]
    described = [
        [clip.id, clip.label, clip.start, clip.end, found and dataclasses.astuple(found)] for clip, found in stamped
    ]
    return _digest([FORMAT_VERSION, codec, storage, label_names, described])
