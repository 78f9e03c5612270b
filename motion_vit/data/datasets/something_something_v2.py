"""Something-Something V2: 220,847 clips of hands and objects as WebM (VP9) files, 240 pixels high.

Goyal et al., "The something something video database for learning and evaluating visual common sense", ICCV 2017, and
Mahdisoltani et al., "On the effectiveness of task granularity for transfer learning", 2018.
"""

import pathlib

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    absolute_path,
    check_clips,
    check_folder,
    find_file,
    first_existing,
    read_json,
    read_records,
    shown,
)
from motion_vit.data.datasets.frame_folder_lists import label_file_names, template_name
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import common_extension, find_folder

_STEM = "something-something-v2"
_VIDEOS = "20bn-something-something-v2"
_OBTAIN = "docs/datasets/something_something_v2.md says where to get it"
_OFFICIAL = OfficialCounts(classes=174, clips={"train": 168_913, "validation": 24_777})


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of Something-Something V2, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    own_names = [_VIDEOS, *(name for name in label_file_names(_STEM, "train", ".json") if _STEM in name)]
    return first_existing(source, own_names) is not None


def _read_label_names(path: pathlib.Path) -> tuple[str, ...]:
    """Reads `{"Approaching something with your camera": "0", ...}`: the numbers are the order of the classes."""
    numbers = read_json(path)
    expected = f'{path}: expected an object {{"class": "number", ...}} whose numbers count from 0'
    if not isinstance(numbers, dict) or not numbers:
        raise AnnotationError(f"{expected}, found {shown(numbers)}")
    found: dict[str, str] = {}
    for name, number in numbers.items():
        if not isinstance(number, str | int) or str(number) in found:
            raise AnnotationError(f"{expected}, found {shown(number)} for {shown(name)}")
        found[str(number)] = template_name(name)
    wanted = [str(number) for number in range(len(numbers))]
    missing = [number for number in wanted if number not in found]
    if missing:
        raise AnnotationError(f"{expected} to {len(numbers) - 1}, found none with {missing[0]}")
    return tuple(found[number] for number in wanted)


def read(source: pathlib.Path) -> SourceDataset:
    """Reads a download of Something-Something V2.

    The label files are `something-something-v2-labels.json`, `-train.json` and `-validation.json`, or
    `labels/labels.json` and so on in the newer download. The class of a clip is its `template` without the brackets
    round the placeholders: "Holding [something]" is the class "Holding something". Its `label`, which names the
    objects, is not used.

    Args:
      source: the folder with `20bn-something-something-v2/12345.webm` and the label files.

    Returns:
      174 classes in the order of their numbers, and the splits `train` (168,913) and `validation` (24,777). The 27,157
      clips of the test split were published without labels and are left out.

    Raises:
      AnnotationError: a file or the folder of the videos is missing, or a file is malformed.
    """
    source = check_folder(source, "Something-Something V2")
    labels = find_file(source, label_file_names(_STEM, "labels", ".json"), f"it numbers the classes; {_OBTAIN}")
    names = _read_label_names(labels)
    rows = {
        split: read_records(
            find_file(source, label_file_names(_STEM, split, ".json"), f"it lists the clips; {_OBTAIN}"),
            ("id", "template"),
        )
        for split in ("train", "validation")
    }
    folder = find_folder(
        source,
        (_VIDEOS, "videos"),
        f"it holds the videos; unpack the archives with `cat {_VIDEOS}-?? | tar zx`",
    )
    extension = common_extension(folder, [row.cells["id"] for row in rows["train"]], ".webm")
    splits = {}
    for split, split_rows in rows.items():
        clips = []
        for row in split_rows:
            path = absolute_path(folder, row.cells["id"] + extension)
            clips.append((row.where, SourceClip(row.cells["id"], path, template_name(row.cells["template"]))))
        splits[split] = check_clips(clips, names)
    return SourceDataset("something_something_v2", names, splits, _OFFICIAL.mismatches(names, splits))
