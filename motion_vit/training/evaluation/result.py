"""The result of an evaluation: what a model said of each video, and the measures of it."""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import clip_name
from motion_vit.outside_text import for_terminal
from motion_vit.training.evaluation import metrics
from motion_vit.training.evaluation.calibration import Reliability, reliability
from motion_vit.training.evaluation.intervals import accuracy_interval, few_videos_note, unanimity_note
from motion_vit.training.evaluation.scored_videos import ScoredVideos

# A model that has diverged gives no finite logits for any video: the report holds them all, a message some.
_NAMED_VIDEOS = 3

# Of so many classes or fewer, the label is always among the largest logits.
_TOP = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of an evaluation. Measures are over the videos that could be decoded.

    Attributes:
      label_names: name of each class.
      scored: label and logits of each of these videos.
      skipped: videos that could not be decoded.
      seconds: duration of the evaluation.
    """

    label_names: tuple[str, ...]
    scored: ScoredVideos
    skipped: tuple[str, ...]
    seconds: float

    @property
    def videos(self) -> int:
        """Number of evaluated videos."""
        return len(self.scored)

    @functools.cached_property
    def confusion(self) -> Int[np.ndarray, "classes columns"]:
        """Counts, true classes as rows; the last column counts videos without a predicted class."""
        return metrics.confusion_matrix(self.scored.labels, self.scored.predictions, len(self.label_names))

    @property
    def top1(self) -> float:
        """Share of videos whose largest logit is right."""
        return metrics.top_k_accuracy(self.scored.logits, self.scored.labels, 1)

    @property
    def top5(self) -> float | None:
        """Share of videos whose label is among the five largest logits; None where there are no more than 5 classes."""
        if len(self.label_names) <= _TOP:
            return None
        return metrics.top_k_accuracy(self.scored.logits, self.scored.labels, _TOP)

    @property
    def per_class(self) -> Float[np.ndarray, " classes"]:
        """Accuracy of each class, NaN for a class without videos."""
        return metrics.per_class_accuracy(self.confusion)

    @property
    def mean_class(self) -> float:
        """Mean accuracy of the classes that have videos, in which rare classes count as much as frequent ones."""
        return float(np.nanmean(self.per_class))

    @functools.cached_property
    def top1_interval(self) -> Float[np.ndarray, "2"]:
        """The 95 % interval of top-1; see `accuracy_interval`."""
        return accuracy_interval(self.scored.right.sum(keepdims=True), np.array([self.videos]))

    @functools.cached_property
    def mean_class_interval(self) -> Float[np.ndarray, "2"]:
        """The 95 % interval of the mean accuracy of the classes; see `accuracy_interval`."""
        return accuracy_interval(np.diagonal(self.confusion), self.confusion.sum(axis=1))

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of the labels, the plain cross entropy; NaN if no video has finite logits."""
        known = self.scored.label_log_probabilities[self.scored.finite]
        return -float(np.mean(known)) if len(known) else float("nan")

    @property
    def reliability(self) -> Reliability:
        """Confidence and accuracy, by intervals of confidence."""
        return reliability(self.scored.confidence, self.scored.right)

    @property
    def not_finite(self) -> tuple[str, ...]:
        """Videos with NaN or infinite logits, which count as wrong; loss and calibration leave them out."""
        return tuple(clip_name(self.scored.source, int(row)) for row in self.scored.rows[~self.scored.finite])

    @property
    def clips_per_second(self) -> float:
        """Views evaluated per second by all processes, decoding included."""
        return self.videos * self.scored.views / self.seconds

    def to_dict(self) -> dict[str, Any]:
        """Returns the result for JSON; what cannot be told, as the accuracy of a class without videos, is null."""
        return {
            "videos": self.videos,
            "top1": self.top1,
            "top1_interval": _numbers(self.top1_interval),
            **({} if self.top5 is None else {"top5": self.top5}),
            "mean_class": self.mean_class,
            "mean_class_interval": _numbers(self.mean_class_interval),
            "loss": _number(self.loss),
            "calibration_error": _number(self.reliability.error),
            "per_class": dict(zip(self.label_names, _numbers(self.per_class), strict=True)),
            "skipped": list(self.skipped),
            "not_finite": list(self.not_finite),
            "clips_per_second": self.clips_per_second,
        }

    def summary(self) -> dict[str, float]:
        """Returns the measures that a training run logs; what cannot be told is left out."""
        measures = {"loss": self.loss, "top1": self.top1, "mean_class": self.mean_class, "top5": self.top5}
        return {name: value for name, value in measures.items() if value is not None and math.isfinite(value)}

    def warning(self) -> str:
        """Returns a sentence about videos with NaN or infinite logits; "" if there are none."""
        if not (names := self.not_finite):
            return ""
        some = ", ".join(map(for_terminal, names[:_NAMED_VIDEOS]))
        more = ", ..." if len(names) > _NAMED_VIDEOS else ""
        count = f"{len(names)} of {counted(self.videos, 'video')}"
        return f"{count} have NaN or infinite logits and count as wrong: {some}{more}"

    def interval_note(self) -> str:
        """Returns sentences about the uncertainty of top-1 where its interval says too little; "" where it does not."""
        notes = few_videos_note(self.videos), unanimity_note(int(self.scored.right.sum()), self.videos)
        return " ".join(filter(None, notes))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _numbers(values: Float[np.ndarray, " n"]) -> list[float | None]:
    return [_number(value) for value in values.tolist()]
