"""The names of the classes of well-known datasets, for weights that are published without them.

Kinetics-400's are those of torchvision (`_KINETICS400_CATEGORIES`), UCF101's those of TensorFlow Datasets
(`video/ucf101_labels.txt`), Something-Something V2's the templates of its `labels.json`, each in the order of the
dataset's own numbers. HMDB51 has no numbers: its folders are in the order of the alphabet.
"""

import importlib.resources
import pathlib

_PACKAGE = "motion_vit.zoo"
_FOLDER = "labels"


def label_file(dataset: str) -> pathlib.Path | None:
    """Finds the file of the names of a dataset's classes.

    Args:
      dataset: one of `motion_vit.zoo.table.datasets()`.

    Returns:
      A file with a name on each line, in the order of the logits; None if this library has none.
    """
    return label_files().get(dataset)


def label_files() -> dict[str, pathlib.Path]:
    """Finds all such files.

    Returns:
      Name of the dataset -> file.
    """
    folder = pathlib.Path(str(importlib.resources.files(_PACKAGE).joinpath(_FOLDER)))
    return {path.stem: path for path in sorted(folder.glob("*.txt"))}
