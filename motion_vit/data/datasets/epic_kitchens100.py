"""Epic-Kitchens-100, verbs: 76,885 actions in kitchens, seen by the person who acts, cut out of long videos.

Damen et al., "Rescaling Egocentric Vision: Collection, Pipeline and Challenges for EPIC-KITCHENS-100", IJCV 2022. The
formats are those of github.com/epic-kitchens/epic-kitchens-100-annotations.
"""

import pathlib
import re

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    Row,
    absolute_path,
    check_clips,
    check_folder,
    find_file,
    first_existing,
    parse_index,
    read_table,
    shown,
)
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import videos_by_stem

_LABEL_FOLDERS = ("", "annotations", "epic-kitchens-100-annotations")
_OBTAIN = "docs/datasets/epic_kitchens100.md says where to get it"
_COLUMNS = ("narration_id", "participant_id", "video_id", "start_timestamp", "stop_timestamp", "verb_class")
_OFFICIAL = OfficialCounts(97, {"train": 67_217, "validation": 9_668})
# The downloader makes EPIC-KITCHENS/P01/videos/P01_01.MP4; people also unpack without the outer folder or link all
# videos into one.
_DOWNLOAD = "EPIC-KITCHENS"
_FLAT_FOLDERS = ("videos", ".")


def _label_files(name: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}".lstrip("/") for folder in _LABEL_FOLDERS)


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of Epic-Kitchens-100, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    own_names = (*_label_files("EPIC_100_train.csv"), *_label_files("EPIC_100_verb_classes.csv"), _DOWNLOAD)
    return first_existing(source, own_names) is not None


def _read_label_names(path: pathlib.Path) -> tuple[str, ...]:
    """Reads the columns `id`, counted from 0 without a gap, and `key`, the name."""
    names: list[str] = []
    for row in read_table(path, ("id", "key")):
        if row.cells["id"] != str(len(names)) or not row.cells["key"] or row.cells["key"] in names:
            raise AnnotationError(
                f"{row.where}: expected the id {len(names)} and the key of a new class, found "
                f"{shown(row.cells['id'])} and {shown(row.cells['key'])}"
            )
        names.append(row.cells["key"])
    return tuple(names)


def _seconds(row: Row, column: str) -> float:
    """Reads a time written as `HH:MM:SS.ss`."""
    match = re.fullmatch(r"([0-9]{2}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]{1,9})?)", row.cells[column], re.ASCII)
    if match is None:
        raise AnnotationError(
            f"{row.where}: expected {column} to be a time HH:MM:SS.ss, found {shown(row.cells[column])}"
        )
    hours, minutes, seconds = match.groups()
    # Rounded, so that the sum is the number that a person would write.
    return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 3)


class _Videos:
    """Locates videos, looking into one participant's folder at a time."""

    def __init__(self, source: pathlib.Path):
        self._roots = [folder for folder in (source / _DOWNLOAD, source) if folder.is_dir()]
        self._flat = {
            stem: path
            for name in reversed(_FLAT_FOLDERS)
            if (source / name).is_dir()
            for stem, path in videos_by_stem(source / name).items()
        }
        self._of_participant: dict[str, dict[str, str]] = {}

    def path(self, participant: str, video: str) -> str:
        """Returns the path of a video, or the path that it should have."""
        if participant not in self._of_participant:
            found: dict[str, str] = {}
            for root in self._roots:
                if (root / participant / "videos").is_dir():
                    found |= videos_by_stem(root / participant / "videos")
            self._of_participant[participant] = found
        expected = absolute_path(self._roots[0], f"{participant}/videos/{video}.MP4")
        return self._of_participant[participant].get(video) or self._flat.get(video) or expected


def read(source: pathlib.Path) -> SourceDataset:
    """Reads a download of Epic-Kitchens-100, with the class of the verb as the label.

    Args:
      source: the folder with the videos as the official downloader lays them out
        (`EPIC-KITCHENS/P01/videos/P01_01.MP4`), or without the outer folder, or all in one folder, and with
        `EPIC_100_train.csv`, `EPIC_100_validation.csv` and `EPIC_100_verb_classes.csv` beside them, or in
        `annotations` or `epic-kitchens-100-annotations`.

    Returns:
      97 classes in the order of their ids, named by their keys ("take", "put"), and the splits `train` (67,217
      actions) and `validation` (9,668), each action cut from `start_timestamp` to `stop_timestamp`. The test split was
      published without labels and is left out.

    Raises:
      AnnotationError: a label file is missing or malformed.
    """
    source = check_folder(source, "Epic-Kitchens-100")
    names = _read_label_names(
        find_file(source, _label_files("EPIC_100_verb_classes.csv"), f"it names the classes; {_OBTAIN}")
    )
    files = {
        split: find_file(source, _label_files(f"EPIC_100_{split}.csv"), f"it lists the {split} actions; {_OBTAIN}")
        for split in ("train", "validation")
    }
    videos = _Videos(source)
    splits = {}
    left_out = []
    for split, path in files.items():
        rows = read_table(path, _COLUMNS)
        lasting = [row for row in rows if _seconds(row, "start_timestamp") < _seconds(row, "stop_timestamp")]
        if len(lasting) < len(rows):
            left_out.append(f"{split}: left out {len(rows) - len(lasting):,} actions that end before they start")
        splits[split] = check_clips([_read_action(row, names, videos) for row in lasting], names)
    return SourceDataset("epic_kitchens100", names, splits, (*left_out, *_OFFICIAL.mismatches(names, splits)))


def _read_action(row: Row, names: tuple[str, ...], videos: _Videos) -> tuple[str, SourceClip]:
    """Reads an action, together with its place in the label file."""
    participant, video = row.cells["participant_id"], row.cells["video_id"]
    if not re.fullmatch(r"P[0-9]{2,3}", participant) or not re.fullmatch(r"P[0-9]{2,3}_[0-9]{2,3}", video):
        raise AnnotationError(
            f"{row.where}: expected a participant such as P01 and a video such as P01_01, found {shown(participant)} "
            f"and {shown(video)}"
        )
    return row.where, SourceClip(
        id=row.cells["narration_id"],
        path=videos.path(participant, video),
        label=parse_index(row, "verb_class", names),
        start=_seconds(row, "start_timestamp"),
        end=_seconds(row, "stop_timestamp"),
    )
