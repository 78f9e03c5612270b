"""Opens the data that a recipe or a command names: a list file, or a split of a prepared folder or of a set of TFDS."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from motion_vit.data.sources.clip_source import ClipSource, StoredClip
from motion_vit.data.sources.label_likeness import lookalike
from motion_vit.data.sources.manifest import MANIFEST_FILE, read_manifest
from motion_vit.data.sources.tfds_location import is_tfds, parse_tfds
from motion_vit.data.sources.video_list import LABELS_FILE, read_video_list
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path


@dataclasses.dataclass(frozen=True, eq=False)
class _Relabelled:
    """A source with its classes renumbered in the order of a checkpoint.

    Attributes:
      source: the clips, numbered in their own order.
      label_names: names in the new order.
      numbers: new number of each of the source's classes.
    """

    source: ClipSource
    label_names: tuple[str, ...]
    numbers: Int[np.ndarray, " classes"]

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    @property
    def clips_of_class(self) -> Sequence[int]:
        counts = dict(zip(self.numbers.tolist(), self.source.clips_of_class, strict=True))
        return tuple(counts.get(number, 0) for number in range(len(self.label_names)))

    @property
    def frame_rate(self) -> float:
        return self.source.frame_rate

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> StoredClip:
        clip = self.source[row]
        return dataclasses.replace(clip, label=int(self.numbers[clip.label]))


def _split_of(location: str) -> tuple[pathlib.Path, str]:
    """Splits `folder:split`; the split is "" where none is given."""
    local_path(location)
    folder, _, split = location.rpartition(":")
    if folder and not os.path.exists(location):
        return pathlib.Path(folder), split
    return pathlib.Path(location), ""


def open_sources(location: str | os.PathLike[str]) -> list[ClipSource]:
    """Opens a list file or all splits of a folder.

    Args:
      location: a list file, a prepared folder for all its splits, or `FOLDER:SPLIT`; `tfds:NAME` for all splits of a
        set of tensorflow_datasets, or `tfds:NAME:SPLIT`.

    Returns:
      The sources.

    Raises:
      UserError: the location does not exist or cannot be read.
    """
    if is_tfds(location):
        return _open_tfds_splits(os.fspath(location))
    if not os.path.isdir(location):
        return [open_source(location, default_split="train")]
    return [_open_prepared(location, split) for split in read_manifest(pathlib.Path(location)).splits]


def open_source(
    location: str | os.PathLike[str], *, default_split: str, label_names: Sequence[str] | None = None
) -> ClipSource:
    """Opens the clips of one split.

    Args:
      location: a list file (CSV with the header `path,label`), a prepared folder, or `FOLDER:SPLIT` for another split
        than the default one. `tfds:NAME:SPLIT` for a set that tensorflow_datasets has prepared, see
        `tfds_location.parse_tfds`.
      default_split: split to read where only a folder is given.
      label_names: the names of the classes in the order of the model's outputs, for example from a checkpoint; by
        default the source's own.

    Returns:
      The clips.

    Raises:
      UserError: the location does not exist or cannot be read, or has classes that are not among `label_names`.
    """
    if not os.fspath(location):
        raise UserError("no data is named; expected a prepared folder, FOLDER:SPLIT, a list file or tfds:NAME:SPLIT")
    if is_tfds(location):
        return _in_order_of(_open_tfds(os.fspath(location), default_split), label_names)
    path, split = _split_of(os.fspath(location))
    if not path.exists():
        raise UserError(
            f"there is neither a prepared folder nor a list file {location}; `motion-vit prepare` makes such a folder."
        )
    if path.is_dir():
        return _in_order_of(_open_prepared(path, split or default_split), label_names)
    if split:
        raise UserError(f"{path} is a list file, which has no splits; leave out :{split}, or give another list")
    if os.path.lexists(path.parent / LABELS_FILE):
        # The list says itself what its labels, which may be numbers, mean.
        return _in_order_of(read_video_list(path), label_names)
    return read_video_list(path, label_names=label_names)


def _open_prepared(folder: str | os.PathLike[str], split: str) -> ClipSource:
    """Opens a split of a prepared folder."""
    # What reads it takes a second to import, for which list files need not wait.
    from motion_vit.data.sources.prepared_dataset import open_prepared

    return open_prepared(folder, split)


def _open_tfds(location: str, default_split: str) -> ClipSource:
    """Opens a split of a set of tensorflow_datasets, or of a folder of ours that is named as one."""
    parsed = parse_tfds(location)
    if os.path.lexists(os.path.join(parsed.what, MANIFEST_FILE)):
        return _open_prepared(parsed.what, parsed.split or default_split)
    from motion_vit.data.sources.tfds_split import open_tfds

    return open_tfds(parsed, default_split)


def _open_tfds_splits(location: str) -> list[ClipSource]:
    """Opens all splits of a set of tensorflow_datasets, or the one that the location names."""
    parsed = parse_tfds(location)
    if parsed.split or os.path.lexists(os.path.join(parsed.what, MANIFEST_FILE)):
        return [_open_tfds(location, "train")] if parsed.split else open_sources(parsed.what)
    from motion_vit.data.sources.tfds_split import open_tfds_splits

    return [*open_tfds_splits(parsed)]


def _in_order_of(source: ClipSource, label_names: Sequence[str] | None) -> ClipSource:
    """Renumbers the classes of a source in the order of a model's, matched by name."""
    if label_names is None or tuple(label_names) == source.label_names:
        return source
    numbers_by_name = {name: number for number, name in enumerate(label_names)}
    unknown = [name for name in source.label_names if name not in numbers_by_name]
    if unknown:
        raise UserError(
            f"{source.name} has {len(unknown)} classes that are not among the {len(label_names)} expected ones, the "
            f"first of them {unknown[0]!r}{lookalike(unknown[0], label_names) or '.'} Expected names such as "
            f"{label_names[0]!r}. Give the data that the model was trained for."
        )
    numbers = np.array([numbers_by_name[name] for name in source.label_names], np.int32)
    return _Relabelled(source, tuple(label_names), numbers)
