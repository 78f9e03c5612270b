"""Reads the user's own videos: a CSV list, a folder with a list per split, or a folder with a folder per class."""

import os
import pathlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from motion_vit.data.datasets import class_folders
from motion_vit.data.datasets.annotation_files import check_clips
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.validation_share import hold_out
from motion_vit.data.sources.label_likeness import describe_lookalikes
from motion_vit.data.sources.list_file import ListFileError, ListRow, clip_ids, quoted, read_rows
from motion_vit.data.sources.video_list import LABELS_FILE, number_labels, read_label_names
from motion_vit.errors import UserError

_SPLITS = ("train", "validation", "test")
_SPLIT_OF_NAME = {split: split for split in _SPLITS} | {"val": "validation", "valid": "validation"}
_SHOWN_VIDEOS = 5
_EXPECTED = (
    "expected a CSV list path,label[,start,end][,split]; or a folder with train.csv and validation.csv; or a folder "
    "with a folder for each class, CLASS/clip.mp4, or for each split and class, train/CLASS/clip.mp4"
)

_Splits = dict[str, tuple[SourceClip, ...]]


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a path can be the user's own videos: a CSV file, or a folder with lists or with other folders.

    Published datasets may look the same, so ask their modules first.

    Args:
      source: the file or folder.

    Returns:
      True if `read` would find something to read.
    """
    if source.is_file():
        return source.suffix.lower() == ".csv"
    if not source.is_dir():
        return False
    try:
        return any(os.path.lexists(source / f"{name}.csv") for name in _SPLIT_OF_NAME) or any(
            class_folders.visible_folders(source)
        )
    except OSError:
        return False


def read(source: pathlib.Path, validation_share: float = 0.1) -> SourceDataset:
    """Reads the user's own videos.

    `source` is one of

    * a CSV file with the header `path,label`, optionally with `start`, `end` (seconds) and `split`, as in
      `video_list.read_video_list`. A file named like a split is read together with the files of the other splits;
    * a folder with `train.csv` and optionally `validation.csv` (or `val.csv`) and `test.csv`;
    * a folder with a folder per class (`CLASS/clip.mp4`), or with `train`, `validation` (or `val`) and `test`, each
      with a folder per class. A clip is a video file, told by its ending, or a folder of JPEG or PNG frames.

    Where no validation videos are named, `validation_share.hold_out` takes some of the training videos of each class
    for it. The classes are in the order of `labels.txt` in the folder, else sorted.

    Args:
      source: the file or folder.
      validation_share: share of each class's training videos to hold out, at least 0 and below 1; 0 for none.

    Returns:
      The classes and the splits. `mismatches` counts the files that were left out, and names videos that are in two
      splits and classes without training videos.

    Raises:
      UserError: nothing is there, the layout is another one, a list is malformed, a label is not in `labels.txt`, or
        the share is out of range.
    """
    if not 0 <= validation_share < 1:
        raise UserError(f"the validation share must be at least 0 and below 1; given {validation_share}")
    if not source.exists():
        raise UserError(f"{source} does not exist; {_EXPECTED}")
    source = source.resolve()
    folder = source if source.is_dir() else source.parent
    # A list whose name says that it is one of several is read with the others.
    alone = not source.is_dir() and source.name not in (f"{name}.csv" for name in _SPLIT_OF_NAME)
    lists = {"train": source} if alone else _split_lists(folder)
    left_out: tuple[str, ...] = ()
    if lists:
        names, splits = _read_lists(folder, lists)
    else:
        names, splits, left_out = _read_class_folders(folder)
    if "validation" not in splits and validation_share > 0:
        splits["train"], splits["validation"] = hold_out(splits["train"], validation_share, folder)
    ordered = {split: splits[split] for split in _SPLITS if splits.get(split)}
    return SourceDataset("list", names, ordered, left_out + tuple(_doubts(names, ordered)))


def _doubts(names: Sequence[str], splits: Mapping[str, Sequence[SourceClip]]) -> Iterator[str]:
    """Describes what is probably a mistake, in words."""
    splits_of: dict[str, set[str]] = defaultdict(set)
    for split, clips in splits.items():
        for clip in clips:
            splits_of[clip.path].add(split)
    shared = sorted(path for path, its_splits in splits_of.items() if len(its_splits) > 1)
    if shared:
        more = ", ..." if len(shared) > _SHOWN_VIDEOS else ""
        yield (
            f"{len(shared)} videos are in more than one split, so that results would say too much: "
            f"{', '.join(shared[:_SHOWN_VIDEOS])}{more}"
        )
    if lookalikes := describe_lookalikes(names):
        yield lookalikes
    trained = {clip.label for clip in splits["train"]}
    for name in names:
        if name not in trained:
            yield f"train: no clip of the class {name}"
    if "validation" not in splits:
        yield "validation: no clip, so that training cannot say how good the model is"


def _split_lists(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Finds `train.csv`, `validation.csv` and so on in a folder, by split."""
    lists: dict[str, pathlib.Path] = {}
    for name, split in _SPLIT_OF_NAME.items():
        path = folder / f"{name}.csv"
        if os.path.lexists(path):  # a link that leads nowhere is a list that cannot be read, not one that is absent
            if split in lists:
                raise ListFileError(f"{lists[split]} and {path} are lists of the same split; remove one of them")
            lists[split] = path
    if lists and "train" not in lists:
        raise ListFileError(f"there is no train.csv beside {next(iter(lists.values()))}; {_EXPECTED}")
    return lists


def _read_lists(folder: pathlib.Path, lists: Mapping[str, pathlib.Path]) -> tuple[tuple[str, ...], _Splits]:
    """Reads the list of each split, or one list whose rows may name their splits."""
    rows_of = {split: read_rows(path) for split, path in lists.items()}
    given = read_label_names(folder / LABELS_FILE) if os.path.lexists(folder / LABELS_FILE) else None
    every_row = [row for rows in rows_of.values() for row in rows]
    names = number_labels(lists["train"], every_row)[0] if given is None else given
    splits: dict[str, list[SourceClip]] = defaultdict(list)
    for split, path in lists.items():
        rows = rows_of[split]
        # Numbers count the classes of `labels.txt`; without it a label is what is written.
        labels = [row.label for row in rows]
        if given is not None:
            labels = [given[label] for label in number_labels(path, rows, given)[1]]
        splits_of_rows = _row_splits(path, rows, None if len(lists) == 1 else split)
        for row, clip_id, label, row_split in zip(rows, clip_ids(path, rows), labels, splits_of_rows, strict=True):
            video = os.path.normpath(folder / row.path)
            splits[row_split].append(SourceClip(clip_id, video, label, row.start, row.end))
    if "train" not in splits:
        raise ListFileError(f"{lists['train']}: no row has the split train, so there is nothing to learn from")
    return names, {split: tuple(clips) for split, clips in splits.items()}


def _row_splits(path: pathlib.Path, rows: Sequence[ListRow], named: str | None) -> list[str]:
    """Returns the split of each row: `named` by the file's name, else the row's own, else `train`."""
    if not any(row.split for row in rows):
        return [named or "train"] * len(rows)
    splits = []
    for row in rows:
        split = _SPLIT_OF_NAME.get(row.split.lower())
        if split is None or split != (named or split):
            raise ListFileError(
                f"{path}, line {row.line}: the split must be {named or 'train, validation or test'}, not "
                f"{quoted(row.split)}; every row of a list names its split, or none does"
            )
        splits.append(split)
    return splits


def _read_class_folders(source: pathlib.Path) -> tuple[tuple[str, ...], _Splits, tuple[str, ...]]:
    splits, left_out = class_folders.read(source, _SPLIT_OF_NAME)
    if not splits.get("train"):
        lists = sorted(path.name for path in source.glob("*.csv"))
        found = f", but the list {lists[0]}: give that file itself" if lists else f"; {_EXPECTED}"
        raise UserError(f"{source} holds no folders with training videos{found}")
    if os.path.lexists(source / LABELS_FILE):
        names = read_label_names(source / LABELS_FILE)
    else:
        names = tuple(sorted({clip.label for clips in splits.values() for clip in clips}))
    for split, clips in splits.items():
        where = f"{source}, the folders of {split} (the classes are those of {LABELS_FILE})"
        check_clips([(where, clip) for clip in clips], names)
    return names, splits, left_out
