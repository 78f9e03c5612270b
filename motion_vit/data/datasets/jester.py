"""Jester: 148,092 clips of hand gestures before a webcam, as folders of JPEG files, 100 pixels high, 12 a second.

Materzynska et al., "The Jester Dataset: A Large-Scale Video Dataset of Human Gestures", ICCV Workshops 2019.
"""

import pathlib

from motion_vit.data.datasets import frame_folder_lists
from motion_vit.data.datasets.frame_folder_lists import FrameFolderLayout
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceDataset

_LAYOUT = FrameFolderLayout(
    name="jester",
    title="Jester",
    label_stem="jester-v1",
    frame_folder="20bn-jester-v1",
    author_lists={"train": ("train_videofolder.txt",), "validation": ("val_videofolder.txt",)},
    obtain="docs/datasets/jester.md says where to get it",
    official=OfficialCounts(classes=27, clips={"train": 118_562, "validation": 14_787}),
)


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of Jester, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    return frame_folder_lists.looks_like(source, _LAYOUT)


def read(source: pathlib.Path) -> SourceDataset:
    """Reads a download of Jester.

    The label files are `jester-v1-labels.csv`, `-train.csv` and `-validation.csv`, or `labels/labels.csv` and so on in
    the newer download. The order of the classes is that of the first.

    Args:
      source: the folder with `20bn-jester-v1/1/00001.jpg` and the label files.

    Returns:
      27 classes, and the splits `train` (118,562) and `validation` (14,787). The 14,743 clips of the test split were
      published without labels and are left out.

    Raises:
      AnnotationError: a file or the frames are missing, or a file is malformed.
    """
    return frame_folder_lists.read(source, _LAYOUT)
