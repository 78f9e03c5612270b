"""HMDB51: 6,766 clips of 51 human actions, mostly from films, with three official divisions into train and test.

Kuehne et al., "HMDB: A Large Video Database for Human Motion Recognition", ICCV 2011.
"""

import pathlib
import re

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    absolute_path,
    check_clips,
    check_folder,
    read_lines,
    shown,
)
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import common_extension, find_folder
from motion_vit.errors import UserError

# As the archives unpack, as mmaction2 moves them, and side by side with the videos.
_LABEL_FOLDERS = ("testTrainMulti_7030_splits", "test_train_splits", "annotations", ".")
_VIDEO_FOLDERS = ("hmdb51_org", "videos", ".")
# Every class has 70 training and 30 test clips in each division.
_OFFICIAL = OfficialCounts(51, {"train": 3_570, "validation": 1_530})
_SPLIT_OF_MARK = {"1": "train", "2": "validation"}
_UNUSED = "0"


def _split_files(source: pathlib.Path, split_number: int) -> dict[str, pathlib.Path]:
    """Class -> its file, sorted by class; empty where there are none."""
    suffix = f"_test_split{split_number}.txt"
    for name in _LABEL_FOLDERS:
        # The archive of the splits unpacks to a folder in a folder of the same name with some programs.
        for folder in (source / name, source / name / name):
            found = sorted(folder.glob(f"*{suffix}"))
            if found:
                return {path.name.removesuffix(suffix): path for path in found}
    return {}


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of HMDB51, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    return (source / "hmdb51_org").is_dir() or any(_split_files(source, number) for number in (1, 2, 3))


def read(source: pathlib.Path, split_number: int = 1) -> SourceDataset:
    """Reads a download of HMDB51.

    A split file `<class>_test_split1.txt` has the lines `<name>.avi <mark>`: 1 is training, 2 is test, and 0 marks the
    clips that the division does not use.

    Args:
      source: the folder with the videos, `hmdb51_org/<class>/<name>.avi`, and the files of the divisions in
        `testTrainMulti_7030_splits`. Converted videos may have another ending.
      split_number: the official division, 1, 2 or 3. Results are usually reported as the mean over all three.

    Returns:
      51 classes sorted by name, and the splits `train` (3,570 clips) and `validation` (1,530, the official test clips).

    Raises:
      UserError: there is no such division, its files or the folder of the videos are missing, or a file is malformed.
    """
    if split_number not in (1, 2, 3):
        raise UserError(f"HMDB51 has the splits 1, 2 and 3; given {split_number}")
    source = check_folder(source, "HMDB51")
    files = _split_files(source, split_number)
    if not files:
        raise AnnotationError(
            f"{source} has no files {_LABEL_FOLDERS[0]}/<class>_test_split{split_number}.txt: they come with "
            "test_train_splits.rar; docs/datasets/hmdb51.md says where to get it"
        )
    names = tuple(files)
    folder = find_folder(source, _VIDEO_FOLDERS, "it holds a folder of videos for each class")
    marked: dict[str, list[tuple[str, str, str]]] = {split: [] for split in _SPLIT_OF_MARK.values()}
    for label, path in files.items():
        for line in read_lines(path):
            # Names may hold blanks and any other sign.
            match = re.fullmatch(r"([^/]+)\.avi\s+([012])", line.text)
            if match is None:
                raise AnnotationError(f"{line.where}: expected <name>.avi and 0, 1 or 2, found {shown(line.text)}")
            stem, mark = match.groups()
            if mark != _UNUSED:
                marked[_SPLIT_OF_MARK[mark]].append((line.where, f"{label}/{stem}", label))
    extension = common_extension(folder, [clip_id for _, clip_id, _ in marked["train"]], ".avi")
    splits = {
        split: check_clips(
            [
                (where, SourceClip(clip_id, absolute_path(folder, clip_id + extension), label))
                for where, clip_id, label in clips
            ],
            names,
        )
        for split, clips in marked.items()
    }
    return SourceDataset("hmdb51", names, splits, _OFFICIAL.mismatches(names, splits))
