"""Something-Something V1: 108,499 clips of hands and objects as folders of JPEG files, 100 pixels high, 12 a second.

Goyal et al., "The something something video database for learning and evaluating visual common sense", ICCV 2017.
"""

import pathlib

from motion_vit.data.datasets import frame_folder_lists
from motion_vit.data.datasets.frame_folder_lists import FrameFolderLayout
from motion_vit.data.datasets.official_counts import OfficialCounts
from motion_vit.data.datasets.source_dataset import SourceDataset

_LAYOUT = FrameFolderLayout(
    name="something_something_v1",
    title="Something-Something V1",
    label_stem="something-something-v1",
    frame_folder="20bn-something-something-v1",
    author_lists={
        "train": ("train_videofolder.txt", "somesomev1_rgb_train_split.txt"),
        "validation": ("val_videofolder.txt", "somesomev1_rgb_validation_split.txt"),
    },
    obtain="docs/datasets/something_something_v1.md says where to get it",
    official=OfficialCounts(classes=174, clips={"train": 86_017, "validation": 11_522}),
)


def looks_like(source: pathlib.Path) -> bool:
    """Tells if a folder holds a download of Something-Something V1, by the names of its files.

    Args:
      source: the folder.

    Returns:
      True if it has a file name that only this dataset has.
    """
    return frame_folder_lists.looks_like(source, _LAYOUT)


def read(source: pathlib.Path) -> SourceDataset:
    """Reads a download of Something-Something V1.

    The order of the classes is that of something-something-v1-labels.csv, or, where only the lists of TSM or UniFormer
    are there, that of their category.txt, which is sorted. The two orders differ.

    Args:
      source: the folder with `20bn-something-something-v1/12345/00001.jpg` and the label files.

    Returns:
      174 classes, and the splits `train` (86,017) and `validation` (11,522). The 10,960 clips of the test split are
      published without labels and are left out.

    Raises:
      AnnotationError: a file or the frames are missing, or a file is malformed.
    """
    return frame_folder_lists.read(source, _LAYOUT)
