"""FineGym: elements of women's gymnastics, cut out of long recordings of competitions from YouTube.

Shao, Zhao, Dai and Lin, "FineGym: A Hierarchical Video Dataset for Fine-grained Action Understanding", CVPR 2020. The
formats are those of sdolivia.github.io/FineGym.
"""

import math
import pathlib
import re
from typing import Any

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    absolute_path,
    check_clips,
    check_folder,
    find_file,
    first_existing,
    parse_index,
    read_json,
    read_lines,
    shown,
    split_line,
)
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import videos_by_stem
from motion_vit.errors import UserError

_LABEL_FOLDERS = ("", "annotations", "categories")
_OBTAIN = "docs/datasets/finegym.md says where to get it"
_TIMES = ("finegym_annotation_info_v1.1.json", "finegym_annotation_info_v1.0.json", "annotation.json")
# The second is that of version 1.0, the third what mmaction2 calls that one.
_TRAIN = ("{0}_train_element_v1.1.txt", "{0}_train_element_v1.0.txt", "{0}_train_org.txt")
_VALIDATION = ("{0}_val_element.txt", "{0}_val_org.txt")
# Version 1.0 from the paper's table 1; 1.1, which adds elements to the training lists alone, as counted by those who
# made other data sets of them: HAAN divides all 34,841 elements of Gym99 anew, FineTec lists the 28,739 of Gym288.
_OFFICIAL = {
    ("gym99", "1.1"): OfficialCounts(99, {"train": 26_320, "validation": 8_521}),
    ("gym288", "1.1"): OfficialCounts(288, {"train": 28_739, "validation": 9_646}),
    ("gym99", "1.0"): OfficialCounts(99, {"train": 20_484, "validation": 8_521}),
    ("gym288", "1.0"): OfficialCounts(288, {"train": 22_671, "validation": 9_646}),
}
_CATEGORY = re.compile(r"Clabel:\s*([0-9]{1,4})\s*;.*?;\s*(\([A-Z]{2}\).+)")
_ELEMENT = re.compile(r"([0-9A-Za-z_-]{11})_(E_[0-9]{6}_[0-9]{6})_(A_[0-9]{4}_[0-9]{4})")


def _label_files(*names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}".lstrip("/") for name in names for folder in _LABEL_FOLDERS)


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of FineGym, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    lists = [name.format(subset) for subset in ("gym99", "gym288") for name in (*_TRAIN, *_VALIDATION)]
    return first_existing(source, _label_files(*_TIMES[:2], *lists)) is not None


def _read_label_names(path: pathlib.Path) -> tuple[str, ...]:
    """Reads lines `Clabel: 0; set: 1; Glabel: 1; (VT) round-off, ...`, numbered from 0 without a gap."""
    names: list[str] = []
    for line in read_lines(path):
        match = _CATEGORY.fullmatch(line.text)
        if match is None or int(match[1]) != len(names):
            raise AnnotationError(
                f"{line.where}: expected `Clabel: {len(names)}; set: ...; Glabel: ...; (VT) ...`, found "
                f"{shown(line.text)}"
            )
        # Three texts of Gym288 stand for two classes each.
        name = " ".join(match[2].split())
        names.append(name if name not in names else f"{name} [{len(names)}]")
    return tuple(names)


def _interval(where: str, timestamps: Any) -> tuple[float, float]:
    """Reads `[[start, end], ...]`, the stages of an element one after the other, as one interval in seconds."""
    try:
        start, end = float(timestamps[0][0]), float(timestamps[-1][1])
    except (TypeError, ValueError, LookupError):
        start, end = math.nan, math.nan
    # Also false for what is not a number.
    if not 0 <= start < end < math.inf:
        raise AnnotationError(f"{where}: expected timestamps [[start, end], ...] in seconds, found {shown(timestamps)}")
    return start, end


class _ElementTimes:
    """The times of the elements, from the annotation file."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._videos = self._members(read_json(path), "its top")

    def _members(self, data: Any, what: str) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise AnnotationError(f"{self._path}: expected {what} to be an object, found {shown(data)}")
        return data

    def seconds(self, video: str, event: str, element: str) -> tuple[float, float] | None:
        """Returns the start and the end in the video; None where the file lacks the element.

        An event's times count from the start of the video, an element's from the start of its event.
        """
        events = self._members(self._videos.get(video, {}), f"the video {video}")
        members = self._members(events.get(event, {}), f"the event {video}_{event}")
        # The events that nobody divided into elements have null there.
        elements = self._members(members.get("segments") or {}, f"the segments of {video}_{event}")
        if element not in elements:
            return None
        inner = self._members(elements[element], f"the element {video}_{event}_{element}")
        where = f"{self._path}, the element {video}_{event}_{element}"
        offset, _ = _interval(where, members.get("timestamps"))
        start, end = _interval(where, inner.get("timestamps"))
        return round(offset + start, 3), round(offset + end, 3)


def read(source: pathlib.Path, subset: str = "gym99") -> SourceDataset:
    """Reads a download of FineGym.

    Version 1.1 of the label files is used where it is there, else version 1.0. A video that is not there, as is usual
    for videos from YouTube, leaves its elements in their split, with the path at which it should be.

    Args:
      source: the folder with the long videos, `videos/<YouTube id>.mp4` (or .mkv, .webm), and the label files, beside
        them or in `annotations` and `categories`.
      subset: "gym99", the balanced elements, or "gym288", the natural, long-tailed ones.

    Returns:
      99 or 288 classes in the order of the categories file, named like "(VT) round-off, ..."; a name that comes a
      second time, as three of Gym288 do, is followed by the number of the class. And the splits `train` and
      `validation`: 26,320 and 8,521 elements of Gym99, 28,739 and 9,646 of Gym288, each cut from the start of its first
      to the end of its last stage.

    Raises:
      UserError: there is no such subset, or a label file is missing or malformed.
    """
    if subset not in ("gym99", "gym288"):
        raise UserError(f"FineGym has the subsets gym99 and gym288; given {subset!r}")
    source = check_folder(source, "FineGym")
    categories = _label_files(f"{subset}_categories.txt")
    names = _read_label_names(find_file(source, categories, f"it names the classes; {_OBTAIN}"))
    times = _ElementTimes(find_file(source, _label_files(*_TIMES), f"it says when each element happens; {_OBTAIN}"))
    lists = {
        split: find_file(
            source, _label_files(*(name.format(subset) for name in names_of_list)), f"it lists the {split} elements"
        )
        for split, names_of_list in (("train", _TRAIN), ("validation", _VALIDATION))
    }
    folder = source / "videos" if (source / "videos").is_dir() else source
    videos = videos_by_stem(folder)
    splits = {}
    left_out = []
    for split, path in lists.items():
        clips, untimed = _read_elements(path, names, times, videos, folder)
        if untimed:
            left_out.append(f"{split}: left out {untimed:,} elements whose times the annotation file does not say")
        splits[split] = check_clips(clips, names)
    version = "1.1" if "v1.1" in lists["train"].name else "1.0"
    return SourceDataset("finegym", names, splits, (*left_out, *_OFFICIAL[subset, version].mismatches(names, splits)))


def _read_elements(
    path: pathlib.Path, names: tuple[str, ...], times: _ElementTimes, videos: dict[str, str], folder: pathlib.Path
) -> tuple[list[tuple[str, SourceClip]], int]:
    """Reads lines `<YouTube id>_E_002407_002435_A_0003_0005 8`.

    Returns:
      The elements, each with where it is named; and how many have no times and are left out.
    """
    clips, untimed = [], 0
    for line in read_lines(path):
        row = split_line(line, ("element", "label"), " ")
        match = _ELEMENT.fullmatch(row.cells["element"])
        if match is None:
            raise AnnotationError(
                f"{line.where}: expected <YouTube id>_E_xxxxxx_xxxxxx_A_xxxx_xxxx and a class, found {shown(line.text)}"
            )
        label = parse_index(row, "label", names)
        seconds = times.seconds(*match.groups())
        if seconds is None:
            untimed += 1
            continue
        video = videos.get(match[1], absolute_path(folder, f"{match[1]}.mp4"))
        clips.append((line.where, SourceClip(match[0], video, label, *seconds)))
    if not clips:
        raise AnnotationError(f"{path}: the annotation file says the times of none of its elements; is it another one?")
    return clips, untimed
