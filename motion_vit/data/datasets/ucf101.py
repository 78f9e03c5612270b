"""UCF101: 13,320 clips from YouTube of 101 human actions, with three official divisions into train and test.

Soomro, Zamir and Shah, "UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild", CRCV-TR-12-01, 2012.
"""

import pathlib
import re

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    absolute_path,
    check_clips,
    check_folder,
    find_file,
    first_existing,
    read_lines,
    shown,
    split_line,
)
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import common_extension, find_folder
from motion_vit.errors import UserError

# As the archive unpacks, as mmaction2 moves them, and side by side with the videos.
_LABEL_FOLDERS = ("ucfTrainTestlist", "annotations", "")
_VIDEO_FOLDERS = ("UCF-101", "videos", ".")
_OBTAIN = "it comes with UCF101TrainTestSplits-RecognitionTask.zip; docs/datasets/ucf101.md says where to get it"
_OFFICIAL = {
    1: OfficialCounts(101, {"train": 9_537, "validation": 3_783}),
    2: OfficialCounts(101, {"train": 9_586, "validation": 3_734}),
    3: OfficialCounts(101, {"train": 9_624, "validation": 3_696}),
}


def _label_files(name: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}".lstrip("/") for folder in _LABEL_FOLDERS)


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of UCF101, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    return first_existing(source, ("UCF-101", *_label_files("classInd.txt"))) is not None


def _read_label_names(path: pathlib.Path) -> tuple[str, ...]:
    """Reads lines `1 ApplyEyeMakeup`, numbered from 1 without a gap."""
    names: list[str] = []
    for line in read_lines(path):
        match = re.fullmatch(r"([0-9]{1,4})\s+(\w{1,100})", line.text, re.ASCII)
        if match is None or int(match[1]) != len(names) + 1 or match[2] in names:
            raise AnnotationError(
                f"{line.where}: expected {len(names) + 1} and the name of a new class, found {shown(line.text)}"
            )
        names.append(match[2])
    return tuple(names)


def _read_list(
    path: pathlib.Path, numbered: bool, names: tuple[str, ...], folder: pathlib.Path, extension: str
) -> list[tuple[str, SourceClip]]:
    """Reads lines `Class/v_Class_g01_c01.avi`, of the training lists with the number of the class after a blank."""
    clips = []
    for line in read_lines(path):
        name = split_line(line, ("path", "class number"), " ").cells if numbered else {"path": line.text}
        match = re.fullmatch(r"([^/\s]+)/([^/\s]+)\.avi", name["path"])
        if match is None:
            raise AnnotationError(f"{line.where}: expected Class/v_Class_g01_c01.avi, found {shown(line.text)}")
        label, stem = match.groups()
        if numbered and label in names and name["class number"] != str(names.index(label) + 1):
            raise AnnotationError(
                f"{line.where}: the class {label} has the number {names.index(label) + 1} in classInd.txt, found "
                f"{shown(name['class number'])}"
            )
        clips.append((line.where, SourceClip(stem, absolute_path(folder, f"{label}/{stem}{extension}"), label)))
    return clips


def read(source: pathlib.Path, split_number: int = 1) -> SourceDataset:
    """Reads a download of UCF101.

    Args:
      source: the folder with the videos, `UCF-101/<Class>/v_<Class>_g01_c01.avi`, and the lists `ucfTrainTestlist`
        (`classInd.txt`, `trainlist01.txt`, `testlist01.txt` and so on). Converted videos may have another ending.
      split_number: the official division, 1, 2 or 3. Results are usually reported as the mean over all three.

    Returns:
      101 classes in the order of classInd.txt, and the splits `train` and `validation`, which is the official test
      list: 9,537 and 3,783 clips in division 1, 9,586 and 3,734 in 2, 9,624 and 3,696 in 3.

    Raises:
      UserError: there is no such division, a file or the folder of the videos is missing, or a list is malformed.
    """
    if split_number not in _OFFICIAL:
        raise UserError(f"UCF101 has the splits 1, 2 and 3; given {split_number}")
    source = check_folder(source, "UCF101")
    names = _read_label_names(find_file(source, _label_files("classInd.txt"), f"it names the classes; {_OBTAIN}"))
    folder = find_folder(source, _VIDEO_FOLDERS, "it holds a folder of videos for each class")
    lists = {
        split: find_file(
            source, _label_files(f"{part}list0{split_number}.txt"), f"it lists the {part} clips; {_OBTAIN}"
        )
        for split, part in (("train", "train"), ("validation", "test"))
    }
    stems = [line.text.partition(".avi")[0] for line in read_lines(lists["train"])]
    extension = common_extension(folder, stems, ".avi")
    splits = {
        split: check_clips(_read_list(path, split == "train", names, folder, extension), names)
        for split, path in lists.items()
    }
    return SourceDataset("ucf101", names, splits, _OFFICIAL[split_number].mismatches(names, splits))
