"""Writes a subset of a source: of a list another list, of a prepared folder another prepared folder."""

import dataclasses
import os
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence

from motion_vit.counts import counted
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset, StoredRow
from motion_vit.data.preparation.prepare import prepare_dataset
from motion_vit.data.sources.clip_index import ClipIndex, index_clips
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.list_file import read_text
from motion_vit.data.sources.manifest import read_manifest
from motion_vit.data.sources.prepared_dataset import PreparedSplit
from motion_vit.data.sources.record import Storage
from motion_vit.data.sources.subset_choice import SubsetSize, choose_rows
from motion_vit.data.sources.tfds_split import TfdsSplit
from motion_vit.data.sources.video_list import LABELS_FILE, VideoList, read_label_names
from motion_vit.data.video.encoded_video import JpegFrames
from motion_vit.errors import UserError
from motion_vit.files.atomic_file import make_folder, write_text
from motion_vit.files.csv_file import csv_text
from motion_vit.files.local_path import local_path
from motion_vit.outside_text import for_terminal


@dataclasses.dataclass(frozen=True)
class Subset:
    """A written subset.

    Attributes:
      path: the list file or the prepared folder.
      source: name of what it is a part of.
      size: how many clips of each class were asked for.
      seed: that they were chosen by.
      clips: number of clips of the whole.
      clips_of_class: label -> chosen clips, in the order of the labels.
    """

    path: pathlib.Path
    source: str
    size: SubsetSize
    seed: int
    clips: int
    clips_of_class: Mapping[str, int]

    def summary(self) -> str:
        """Says in a line what was written."""
        counts = [count for count in self.clips_of_class.values() if count]
        least, most = min(counts), max(counts)
        each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        return (
            f"{for_terminal(str(self.path))}: {counted(sum(counts), 'clip', ',')} of "
            f"{counted(len(counts), 'class')}, {each} of each; of the {self.clips:,} of {for_terminal(self.source)}, "
            f"seed {self.seed}"
        )


def write_subset(
    source: ClipSource,
    out: str | os.PathLike[str],
    size: SubsetSize,
    *,
    seed: int = 0,
    index: ClipIndex | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Subset:
    """Chooses clips of every class and writes them.

    The same arguments write the same files. Subsets of the same seed are nested, see `subset_choice`.

    Args:
      source: from `open_source`. Of a list a list is written, whose paths lead to the same videos. Of anything else a
        prepared folder is written, with one split and the same records.
      out: the list file or the folder.
      size: how many clips of each class.
      seed: another seed chooses others.
      index: of `index_clips`, where it is known already.
      workers: processes that copy records; None for as many as cores, fewer for few clips.
      progress: whether to show progress bars on stderr.

    Returns:
      The numbers of clips.

    Raises:
      UserError: a class has fewer clips than are asked for, there are fewer than two classes, or the file or folder
        exists and holds something else.
      UnwritableError: the list cannot be written.
    """
    path = local_path(out)
    if not isinstance(source, VideoList | PreparedSplit | TfdsSplit):
        raise UserError(
            f"{source.name} is a {type(source).__name__}, of which no part can be written: open a list file, "
            "a split of a prepared folder or one of a set of TensorFlow Datasets."
        )
    index = index_clips(source, progress=progress) if index is None else index
    rows = choose_rows(index, source.label_names, size, seed=seed, name=source.name)
    if isinstance(source, VideoList):
        _write_list(source, rows, path)
    else:
        note = f"a subset of {pathlib.Path(source.name).name}: {size} of each class, seed {seed}"
        prepare_dataset(_dataset(source, index, rows, note), path, workers=workers, progress=progress)
    counts = Counter(source.label_names[index.labels[row]] for row in rows)
    return Subset(path, source.name, size, seed, len(source), {name: counts[name] for name in source.label_names})


def _write_list(source: VideoList, rows: Sequence[int], path: pathlib.Path) -> None:
    """Writes some rows of a list, with paths that are relative to the new list where those of the old one are."""
    given_names = os.path.lexists(source.source.parent / LABELS_FILE)
    _check_label_names(source, path.parent / LABELS_FILE, given_names)
    header = ["path", "label"]
    cells: list[list[str | int | float]] = []
    folder = path.resolve().parent
    for row in rows:
        # The name of a clip begins with its path as written.
        is_absolute = os.path.isabs(source.ids[row])
        video = source.paths[row] if is_absolute else os.path.relpath(source.paths[row], folder)
        cells.append([pathlib.Path(video).as_posix(), source.label_names[source.labels[row]]])
    if source.frames is not None:
        header.append("frames")
        for row, line in zip(rows, cells, strict=True):
            line.append(int(source.frames[row]))
    if any(source[row].start or source[row].end is not None for row in rows):
        header += ["start", "end"]
        for row, line in zip(rows, cells, strict=True):
            clip = source[row]
            line += [repr(clip.start) if clip.start else "", "" if clip.end is None else repr(clip.end)]
    text = csv_text([header, *cells], exact=True)
    if os.path.lexists(path) and path.is_file() and read_text(path) != text:
        raise UserError(f"{path} exists and holds something else; name another file with --out, or remove it.")
    make_folder(path.parent)
    write_text(path, text)
    if given_names and not os.path.lexists(path.parent / LABELS_FILE):
        write_text(path.parent / LABELS_FILE, "".join(f"{name}\n" for name in source.label_names))


def _check_label_names(source: VideoList, beside: pathlib.Path, given_names: bool) -> None:
    """Checks that classes have the same numbers in the new list: `labels.txt` beside a list decides them."""
    if os.path.lexists(beside) and read_label_names(beside) != source.label_names:
        whose = "its labels.txt names" if given_names else "its labels are"
        raise UserError(
            f"{beside} names other classes, or in another order, than those of {source.name}: {whose} "
            f"{', '.join(map(repr, source.label_names[:3]))} and so on. Give --out in another folder."
        )


def _dataset(source: PreparedSplit | TfdsSplit, index: ClipIndex, rows: Sequence[int], note: str) -> SourceDataset:
    """Describes the chosen records as something to prepare."""
    name, split = "tfds", "train"
    if isinstance(source, PreparedSplit):
        name, split = read_manifest(source.folder).dataset, source.split
    clips = tuple(
        SourceClip(
            index.ids[row],
            source.shard_of(row),
            source.label_names[index.labels[row]],
            record=StoredRow(source, row),
        )
        for row in rows
    )
    storage: Storage = "jpegs" if isinstance(source[rows[0]].video, JpegFrames) else "video"
    return SourceDataset(name, source.label_names, {split: clips}, (note,), storage)
