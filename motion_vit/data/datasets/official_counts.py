"""Compares a download with the counts of classes and clips that its dataset's authors publish."""

import dataclasses
from collections.abc import Mapping, Sequence

from motion_vit.counts import counted
from motion_vit.data.datasets.source_dataset import SourceClip


@dataclasses.dataclass(frozen=True)
class OfficialCounts:
    """The counts that the authors of a dataset publish.

    Attributes:
      classes: the number of classes.
      clips: split (`train`, `validation`, `test`) -> the number of clips in its official list.
    """

    classes: int
    clips: Mapping[str, int]

    def mismatches(self, label_names: Sequence[str], splits: Mapping[str, Sequence[SourceClip]]) -> tuple[str, ...]:
        """Describes the differences, for `SourceDataset.mismatches`.

        Args:
          label_names: the classes of the download.
          splits: split -> its clips in the download. A split without an official count is not compared.

        Returns:
          One sentence per difference, such as "train: 3 clips, the official list has 168,913"; empty if all agrees.
        """
        found = []
        if len(label_names) != self.classes:
            found.append(f"classes: {len(label_names):,}, the official list has {self.classes:,}")
        for split, official in self.clips.items():
            if split not in splits:
                found.append(f"{split}: no such split, the official list has {official:,} clips")
            elif len(splits[split]) != official:
                found.append(f"{split}: {counted(len(splits[split]), 'clip', ',')}, the official list has {official:,}")
        return tuple(found)
