"""A dataset as it is downloaded: which clips, where they are, and what they show."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class SourceClip:
    """A labelled clip of a downloaded dataset.

    Attributes:
      id: its name, unique in its split; it stays the clip's name in lists of bad videos.
      path: the absolute path of the video file, or of the folder of its JPEG frames. It need not exist: what is missing
        is reported when it is prepared.
      label: the name of its class.
      start: the second of the video that it starts at; None for the video's start.
      end: the second of the video that it ends before; None for the video's end.
    """

    id: str
    path: str
    label: str
    start: float | None = None
    end: float | None = None


@dataclasses.dataclass(frozen=True)
class SourceDataset:
    """A downloaded dataset.

    Attributes:
      name: its name in `motion-vit prepare NAME`.
      label_names: the names of the classes in the official order, which is that of the model's outputs.
      splits: split (`train`, `validation`, `test`) -> its clips, in the order of the official list.
      mismatches: what differs from the official counts of classes and of clips in a split, and what is doubtful
        otherwise, in words.
    """

    name: str
    label_names: tuple[str, ...]
    splits: Mapping[str, tuple[SourceClip, ...]]
    mismatches: tuple[str, ...] = ()
