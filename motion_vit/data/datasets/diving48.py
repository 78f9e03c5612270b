"""Diving48: 18,404 clips of competitive dives, labelled with take-off, somersaults, twists and position.

Li et al., "RESOUND: Towards action recognition without representation bias", ECCV 2018.
"""

import pathlib

from motion_vit.data.datasets.annotation_files import (
    AnnotationError,
    absolute_path,
    check_clips,
    check_folder,
    find_file,
    first_existing,
    parse_index,
    read_json,
    read_records,
    shown,
)
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceClip, SourceDataset
from motion_vit.data.datasets.video_files import common_extension, find_folder

_LABEL_FOLDERS = ("", "annotations")
_OBTAIN = "docs/datasets/diving48.md says where to get it"
_OFFICIAL_V2 = OfficialCounts(classes=48, clips={"train": 15_027, "validation": 1_970})
_OFFICIAL_V1 = OfficialCounts(classes=48, clips={})
_FILE_PART = {"train": "train", "validation": "test"}


def _label_files(name: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}".lstrip("/") for folder in _LABEL_FOLDERS)


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of Diving48, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    own_names = ("Diving48_vocab.json", "Diving48_V2_train.json", "Diving48_train.json")
    return first_existing(source, [path for name in own_names for path in _label_files(name)]) is not None


def _read_label_names(path: pathlib.Path) -> tuple[str, ...]:
    """Reads `[["Back", "15som", "05Twis", "FREE"], ...]`, joined as in mmaction2's label map."""
    vocabulary = read_json(path)
    expected = f'{path}: expected a list of lists of four words, such as ["Back", "15som", "05Twis", "FREE"]'
    if not isinstance(vocabulary, list) or not vocabulary:
        raise AnnotationError(f"{expected}, found {shown(vocabulary)}")
    names: dict[str, None] = {}
    for number, words in enumerate(vocabulary):
        if not isinstance(words, list) or len(words) != 4 or not all(isinstance(word, str) for word in words):
            raise AnnotationError(f"{expected}, found {shown(words)} as entry {number + 1}")
        if "+".join(words) in names:
            raise AnnotationError(f"{path}: entry {number + 1}, {shown(words)}, comes a second time")
        names["+".join(words)] = None
    return tuple(names)


def read(source: pathlib.Path) -> SourceDataset:
    """Reads a download of Diving48.

    The label files are those of version 2, `Diving48_V2_train.json` and `Diving48_V2_test.json`; where only those of
    version 1 are there, they are used and a mismatch says so. Every file is one trimmed dive and is used whole: the
    `start_frame` and `end_frame` of the label files count frames of that file, not of the broadcast that it was cut
    from.

    Args:
      source: the folder with `rgb/<vid_name>.mp4` and the label files.

    Returns:
      48 classes, named like "Back+15som+05Twis+FREE", in the order of Diving48_vocab.json, and the splits `train`
      (15,027 clips) and `validation` (1,970, the official test list).

    Raises:
      AnnotationError: a file or the folder of the videos is missing, or a file is malformed.
    """
    source = check_folder(source, "Diving48")
    names = _read_label_names(
        find_file(source, _label_files("Diving48_vocab.json"), f"it names the classes; {_OBTAIN}")
    )
    files = {split: _label_files(f"Diving48_V2_{part}.json") for split, part in _FILE_PART.items()}
    official = _OFFICIAL_V2
    outdated: tuple[str, ...] = ()
    if all(first_existing(source, paths) is None for paths in files.values()) and first_existing(
        source, _label_files("Diving48_train.json")
    ):
        files = {split: _label_files(f"Diving48_{part}.json") for split, part in _FILE_PART.items()}
        official = _OFFICIAL_V1
        outdated = ("the label files are version 1, in which many labels are wrong; results are reported on version 2",)
    rows = {
        split: read_records(find_file(source, paths, f"it lists the {split} clips; {_OBTAIN}"), ("vid_name", "label"))
        for split, paths in files.items()
    }
    folder = find_folder(source, ("rgb", "videos"), f"it holds the videos of Diving48_rgb.tar.gz; {_OBTAIN}")
    extension = common_extension(folder, [row.cells["vid_name"] for row in rows["train"]], ".mp4")
    splits = {}
    for split, split_rows in rows.items():
        clips = []
        for row in split_rows:
            path = absolute_path(folder, row.cells["vid_name"] + extension)
            clips.append((row.where, SourceClip(row.cells["vid_name"], path, parse_index(row, "label", names))))
        splits[split] = check_clips(clips, names)
    return SourceDataset("diving48", names, splits, outdated + official.mismatches(names, splits))
