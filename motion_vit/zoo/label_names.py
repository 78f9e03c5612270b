"""The names of the classes of well-known datasets, for weights that are published without them.

A list is in the order of the dataset's own numbers, or in that of the authors of weights who numbered the classes
otherwise. Where the names and their order were read, each in two places where there are two:

- Kinetics-400: torchvision's `_KINETICS400_CATEGORIES`, PyTorchVideo's `kinetics_classnames.json`.
- Kinetics-400 of UniFormer: its repository's `data_list/k400`; the first 400 of VideoMAE V2's 710 are in this order.
- Kinetics-600, in the order of the alphabet: mmaction2's `label_map_k600.txt`, with the 600 names of UniFormer.
- Kinetics-600 of UniFormer: `k600_common_category.list`, `k600_special_category.list`, and the numbers of `test.csv`.
- Kinetics-700, in the order of the alphabet: mmaction2's `label_map_k700.txt`, and, but for one name, VideoMAE V2's.
- Kinetics-710 of VideoMAE V2: `misc/label_map_k710.txt` of OpenGVLab/VideoMAEv2, in which three names are doubtful.
- Something-Something V1 and V2: the templates, as mmaction2's `sthv2/label_map.txt` and UniFormer's
  `sthv1/category.txt` have them. How many clips of each class UniFormer's lists of videos hold agrees with this order.
- UCF101: TensorFlow Datasets' `video/ucf101_labels.txt`.
- HMDB51, which has no numbers: its folders in the order of the alphabet.
"""

import importlib.resources
import pathlib

_PACKAGE = "motion_vit.zoo"
_FOLDER = "labels"


def label_files() -> dict[str, pathlib.Path]:
    """Finds the lists of names.

    Returns:
      Name of the list, which is that of a dataset and of the authors whose order it has -> a file with a name on each
      line, in the order of the logits.
    """
    folder = pathlib.Path(str(importlib.resources.files(_PACKAGE).joinpath(_FOLDER)))
    return {path.stem: path for path in sorted(folder.glob("*.txt"))}
