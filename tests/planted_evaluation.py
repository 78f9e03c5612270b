"""Makes results of evaluations out of logits, without videos."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.evaluation.scored_videos import ScoredVideos
from motion_vit.training.losses.evidence import EvidenceName


@dataclasses.dataclass(frozen=True)
class NamedClips:
    """A source of clips that have names and labels, and no videos.

    Attributes:
      names: of the clips.
      label_names: of the classes.
      labels: class of each clip.
    """

    names: tuple[str, ...]
    label_names: tuple[str, ...]
    labels: tuple[int, ...]
    name: str = "planted"
    fingerprint: str = ""
    frame_rate: float = 0.0

    @property
    def clips_of_class(self) -> Sequence[int]:
        return np.bincount(self.labels, minlength=len(self.label_names)).tolist()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> StoredClip:
        return StoredClip(id=self.names[row], label=self.labels[row], video=self.names[row])


def planted_scores(
    labels: Sequence[int],
    logits: Sequence[Sequence[float]],
    label_names: Sequence[str],
    names: Sequence[str] = (),
    evidence: EvidenceName | None = None,
) -> ScoredVideos:
    """Scored videos of two views each.

    Args:
      labels: class of each video.
      logits: of each video.
      label_names: of the classes.
      names: of the videos; by default `0.mp4` and so on.
      evidence: what makes evidence of the logits; None for the softmax.
    """
    given = tuple(names) or tuple(f"{number}.mp4" for number in range(len(labels)))
    source = NamedClips(given, tuple(label_names), tuple(labels))
    rows = np.arange(len(labels))
    return ScoredVideos(
        source,
        rows,
        np.asarray(labels, np.int32),
        np.asarray(logits, np.float32),
        2,
        np.full(len(labels), 0.25, np.float32),
        evidence,
    )


def planted_evaluation(
    labels: Sequence[int],
    logits: Sequence[Sequence[float]],
    label_names: Sequence[str] = ("up", "down", "left"),
    skipped: Sequence[str] = (),
) -> Evaluation:
    """The result of an evaluation of one second; see `planted_scores`."""
    scored = planted_scores(labels, logits, label_names)
    return Evaluation(tuple(label_names), scored, tuple(skipped), 1.0)
