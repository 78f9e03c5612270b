"""Opens videos whose labels are not known, or are not to be looked at."""

import dataclasses
import os
from collections.abc import Sequence

from motion_vit.data.sources.clip_source import ClipSource, StoredClip
from motion_vit.data.sources.open_source import open_source
from motion_vit.data.sources.video_list import read_video_list

UNKNOWN_LABEL = -1
"""Label of a clip whose class is not known."""


@dataclasses.dataclass(frozen=True, eq=False)
class _WithoutLabels:
    """A source whose labels are not looked at.

    Attributes:
      source: whose clips they are.
    """

    source: ClipSource

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def label_names(self) -> tuple[str, ...]:
        return ()

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    @property
    def clips_of_class(self) -> Sequence[int]:
        return ()

    @property
    def frame_rate(self) -> float:
        return self.source.frame_rate

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> StoredClip:
        return dataclasses.replace(self.source[row], label=UNKNOWN_LABEL)


def open_unlabelled(location: str | os.PathLike[str], *, label_names: Sequence[str] | None = None) -> ClipSource:
    """Opens videos without looking at their labels.

    Args:
      location: as for `open_source`; a folder alone means its split `train`. A list file needs no column `label`.
      label_names: the classes, if the labels are to be known after all, to be compared with those of a teacher.

    Returns:
      The clips, of the label `UNKNOWN_LABEL` where no label names are given.

    Raises:
      UserError: as `open_source`; with label names, also where a clip is of another class or has none.
    """
    if label_names is not None:
        return open_source(location, default_split="train", label_names=label_names)
    if os.path.isfile(location):
        return _WithoutLabels(read_video_list(location, labelled=False))
    return _WithoutLabels(open_source(location, default_split="train"))
