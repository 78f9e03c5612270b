"""A downloaded dataset: its clips, their paths and their labels."""

import dataclasses
from collections.abc import Mapping

from motion_vit.data.sources.clip_source import ClipSource, StoredClip
from motion_vit.data.sources.record import Storage


@dataclasses.dataclass(frozen=True, eq=False)
class StoredRow:
    """A clip that lies in a source of clips, and not in a file of its own.

    Attributes:
      source: what the clip is read from, from any process.
      row: its number there.
    """

    source: ClipSource
    row: int

    def read(self) -> StoredClip:
        """Reads the clip, without decoding it.

        Returns:
          The clip.

        Raises:
          UserError: it cannot be read.
        """
        return self.source[self.row]


@dataclasses.dataclass(frozen=True)
class SourceClip:
    """A labelled clip of a downloaded dataset.

    Attributes:
      id: its name, unique in its split; also in lists of bad videos.
      path: absolute path of the video file, or of the folder of its JPEG frames, or of the file that `record` lies in.
        It need not exist: missing files are reported when the dataset is prepared.
      label: the name of its class.
      start: start in seconds of the video; None for the video's start.
      end: end in seconds of the video, exclusive; None for the video's end.
      record: where the clip lies if it has no file of its own; such a clip is whole.
    """

    id: str
    path: str
    label: str
    start: float | None = None
    end: float | None = None
    record: StoredRow | None = None


@dataclasses.dataclass(frozen=True)
class SourceDataset:
    """A downloaded dataset.

    Attributes:
      name: its name in `motion-vit prepare NAME`.
      label_names: the names of the classes in the official order, which is that of the model's outputs.
      splits: split (`train`, `validation`, `test`) -> its clips, in the order of the official list.
      mismatches: differences from the official counts of classes and clips, and other doubts, as sentences.
      storage: kind of the clips where these have no files of their own; None where their files tell it.
    """

    name: str
    label_names: tuple[str, ...]
    splits: Mapping[str, tuple[SourceClip, ...]]
    mismatches: tuple[str, ...] = ()
    storage: Storage | None = None
