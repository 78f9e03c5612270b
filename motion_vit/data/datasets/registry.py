"""The datasets that can be prepared, by name."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from motion_vit.data.datasets import (
    diving48,
    epic_kitchens100,
    finegym,
    hmdb51,
    jester,
    kinetics,
    mpii_cooking2,
    own_videos,
    something_something_v1,
    something_something_v2,
    tfds,
    ucf101,
)
from motion_vit.data.datasets.source_dataset import SourceDataset
from motion_vit.errors import UserError, did_you_mean
from motion_vit.files.local_path import local_path


@dataclasses.dataclass(frozen=True)
class DatasetLayout:
    """The reader and the options of a dataset.

    Attributes:
      summary: one line about the dataset.
      read: reads its label files, given the folder of the download, and the options as keyword arguments.
      looks_like: tells if a folder seems to hold this dataset, without reading much.
      options: keyword arguments of `read`.
      by_name: whether the source may be a name, which `read` finds, in place of a folder.
    """

    summary: str
    read: Callable[..., SourceDataset]
    looks_like: Callable[[pathlib.Path], bool]
    options: tuple[str, ...] = ()
    by_name: bool = False


DATASETS: Mapping[str, DatasetLayout] = {
    "list": DatasetLayout(
        "one's own videos: a CSV path,label[,start,end][,split], a folder of such files, or a folder per class",
        own_videos.read,
        own_videos.looks_like,
        ("validation_share",),
    ),
    "something_something_v1": DatasetLayout(
        "Something-Something V1: folders of JPEG frames",
        something_something_v1.read,
        something_something_v1.looks_like,
    ),
    "something_something_v2": DatasetLayout(
        "Something-Something V2: WebM videos", something_something_v2.read, something_something_v2.looks_like
    ),
    "jester": DatasetLayout("Jester: folders of JPEG frames", jester.read, jester.looks_like),
    **{
        f"kinetics{classes}": DatasetLayout(
            f"Kinetics-{classes}: mp4 videos of ten seconds",
            functools.partial(kinetics.read, classes=classes),
            kinetics.looks_like,
        )
        for classes in (400, 600, 700)
    },
    "diving48": DatasetLayout("Diving48: mp4 videos", diving48.read, diving48.looks_like),
    "ucf101": DatasetLayout("UCF101: avi videos, three splits", ucf101.read, ucf101.looks_like, ("split_number",)),
    "hmdb51": DatasetLayout("HMDB51: avi videos, three splits", hmdb51.read, hmdb51.looks_like, ("split_number",)),
    "finegym": DatasetLayout(
        "FineGym: elements cut out of long gymnastics videos", finegym.read, finegym.looks_like, ("subset",)
    ),
    "mpii_cooking2": DatasetLayout(
        "MPII Cooking 2: activities cut out of long kitchen videos", mpii_cooking2.read, mpii_cooking2.looks_like
    ),
    "epic_kitchens100": DatasetLayout(
        "Epic-Kitchens-100: verbs cut out of long kitchen videos", epic_kitchens100.read, epic_kitchens100.looks_like
    ),
    "tfds": DatasetLayout(
        "a set of tensorflow_datasets with a video feature, stored as ArrayRecord",
        tfds.read,
        tfds.looks_like,
        by_name=True,
    ),
}
"""Name in `motion-vit prepare NAME` -> layout."""


def read_dataset(name: str, source: str | os.PathLike[str], options: Mapping[str, Any]) -> SourceDataset:
    """Reads the label files of a downloaded dataset.

    Args:
      name: one of `DATASETS`.
      source: the folder of the download; for `tfds` also the name of the set.
      options: keyword arguments for the dataset's own `read`; those with the value None are left at their default.

    Returns:
      Its clips and labels.

    Raises:
      UserError: an unknown name or option, a folder that does not exist or holds another dataset, or label files that
        are missing or malformed.
    """
    if name not in DATASETS:
        raise UserError(
            f"unknown dataset {name!r}.{did_you_mean(name, DATASETS)} The datasets are: {', '.join(DATASETS)}."
        )
    layout = DATASETS[name]
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in layout.options:
            takers = [other for other, its in DATASETS.items() if option in its.options]
            raise UserError(f"{option} is no option of {name}, but of {', '.join(takers)}; leave it out.")
    if layout.by_name:
        return layout.read(source, **given)
    folder = local_path(source).resolve()
    if not folder.exists():
        raise UserError(f"the source {source} does not exist; give what the download of {name} was unpacked to.")
    # Folders of all kinds can be one's own videos: they are if they are no published dataset.
    if name == "list" or not layout.looks_like(folder):
        others = [other for other, its in DATASETS.items() if other != "list" and its.looks_like(folder)]
        if others:
            own = "your own videos" if name == "list" else name
            raise UserError(
                f"{source} does not look like {own}, but like {others[0]}: run `motion-vit prepare {others[0]} ...`, "
                f"or give the folder of {own}."
            )
    return layout.read(folder, **given)
