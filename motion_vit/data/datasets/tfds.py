"""Sets that tensorflow_datasets has prepared as ArrayRecord, with a video feature and a class."""

import os
import pathlib

from motion_vit.counts import counted
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset, StoredRow
from motion_vit.data.sources.manifest import MANIFEST_FILE
from motion_vit.data.sources.record import Storage
from motion_vit.data.sources.tfds_location import INFO_FILE, parse_tfds
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.errors import UserError


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a version of a set, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if tensorflow_datasets describes it and this library has not prepared it.
    """
    return (source / INFO_FILE).is_file() and not (source / MANIFEST_FILE).exists()


def read(source: str | os.PathLike[str]) -> SourceDataset:
    """Reads the classes of every clip of a set; no picture is decoded.

    Args:
      source: name of the set, `NAME[/CONFIG][:VERSION]`, or its folder; with `:SPLIT` for one split alone, and with
        `?video=FEATURE&label=FEATURE` where it has several such features.

    Returns:
      Its classes and splits. Records that are damaged or have no class are left out, and said.

    Raises:
      UserError: the set is not prepared as ArrayRecord, has no such split or features, or a slice is asked for.
    """
    from motion_vit.data.sources.tfds_split import open_tfds_splits

    location = parse_tfds(os.fspath(source))
    if "[" in location.split or "+" in location.split:
        raise UserError(
            f"{source} names a slice, {location.split}, and whole splits are prepared; name none or one, and take the "
            "slice where the data is used, as in data.train=tfds:NAME:train[:80%]."
        )
    splits, left_out = {}, []
    opened = open_tfds_splits(location)
    for split in opened:
        clips, bad = [], []
        for row in range(len(split)):
            try:
                stored = split[row]
            except VideoDecodeError as error:
                bad.append(error)
                continue
            label = split.label_names[stored.label]
            clips.append(SourceClip(stored.id, split.shard_of(row), label, record=StoredRow(split, row)))
        if bad:
            left_out.append(f"{split.name}: {counted(len(bad), 'record')} left out, the first: {bad[0].reason}")
        splits[split.name.rpartition(":")[2]] = tuple(clips)
    storage: Storage = "video" if opened[0].features.holds_file else "jpegs"
    return SourceDataset("tfds", opened[0].label_names, splits, tuple(left_out), storage)
