"""Evaluates how well a model tells videos of classes that it does not know from those of classes that it knows."""

import dataclasses
import functools
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.label_likeness import labels_among
from motion_vit.errors import UserError
from motion_vit.files.json_file import read_json
from motion_vit.files.local_path import local_path
from motion_vit.training.checkpoints.weights_fingerprint import weights_fingerprint
from motion_vit.training.evaluation import open_set_metrics as metrics
from motion_vit.training.evaluation.scored_videos import ScoredVideos
from motion_vit.training.inference.unknown_scores import Rejection, ScoreName, known_scores, unknown_scores

DRAWS = 10
"""Random orders of the unknown classes, over which the macro F1 is averaged."""

SEED = 0
"""Of these orders."""

_REPORT = "evaluation.json"
_NAMED = 5


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreMeasures:
    """Measures of how well one score separates unknown videos from known ones.

    Attributes:
      known: the score of each known video.
      unknown: of each unknown one.
      auroc: see `open_set_metrics.auroc`.
      aupr: see `open_set_metrics.average_precision`.
      fpr95: see `open_set_metrics.false_alarms_at_95`.
      threshold: what 5 % of known videos exceed at most.
      openness: for no unknown classes, one, two, ...
      macro_f1: the open-set macro F1 for each of them, with that threshold.
      open_macro_f1: the mean of these, weighed by openness.
    """

    known: Float[np.ndarray, " n"]
    unknown: Float[np.ndarray, " m"]
    auroc: float
    aupr: float
    fpr95: float
    threshold: float
    openness: Float[np.ndarray, " k"]
    macro_f1: Float[np.ndarray, " k"]
    open_macro_f1: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures for JSON, without the scores of single videos."""
        curve = zip(self.openness.tolist(), self.macro_f1.tolist(), strict=True)
        return {
            "auroc": self.auroc,
            "aupr": self.aupr,
            "fpr95": self.fpr95,
            "threshold": self.threshold,
            "open_macro_f1": self.open_macro_f1,
            "macro_f1_by_openness": [{"openness": each, "macro_f1": f1} for each, f1 in curve],
        }


@dataclasses.dataclass(frozen=True, eq=False)
class OpenSet:
    """Known and unknown videos with their logits. Those whose logits are not finite are left out of all measures.

    Attributes:
      known: videos of known classes.
      unknown: videos of other classes, labelled by their own source.
      reference: known videos whose scores set the thresholds; those that were trained on, or `known`.
      skipped: unknown videos that could not be decoded.
      weights: SHA-256 of the model's weights, by which thresholds find their model.
    """

    known: ScoredVideos
    unknown: ScoredVideos
    reference: ScoredVideos
    skipped: tuple[str, ...] = ()
    weights: str = ""

    @functools.cached_property
    def measures(self) -> dict[ScoreName, ScoreMeasures]:
        """The measures of each score that the model has.

        Raises:
          UserError: no video of one of the three kinds has finite logits.
        """
        for kind, scored in (("known", self.known), ("unknown", self.unknown), ("threshold", self.reference)):
            if not scored.finite.any():
                raise UserError(
                    f"no {kind} video of {scored.source.name} has finite logits, so that nothing can be compared: the "
                    "weights are damaged, or training has diverged."
                )
        return {name: self._measure(name) for name in known_scores(self.known.evidence)}

    @property
    def unknown_classes(self) -> int:
        """Number of the classes of the unknown videos."""
        return len(np.unique(self.unknown.labels[self.unknown.finite]))

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures for JSON."""
        return {
            "weights": self.weights,
            "unknown_data": self.unknown.source.name,
            "unknown_videos": len(self.unknown),
            "unknown_classes": self.unknown_classes,
            "threshold_data": self.reference.source.name,
            "draws": DRAWS,
            "seed": SEED,
            "scores": {name: each.to_dict() for name, each in self.measures.items()},
            "skipped": list(self.skipped),
        }

    def __str__(self) -> str:
        """Writes a table with a line for each score."""
        lines = [
            f"unknown: {counted(len(self.unknown), 'video')} of {counted(self.unknown_classes, 'class')}",
            f"  {'score':<12} {'AUROC':>7} {'AUPR':>7} {'FPR95':>7} {'threshold':>10} {'open macro F1':>14}",
        ]
        for name, each in self.measures.items():
            shares = " ".join(f"{100 * share:6.2f}%" for share in (each.auroc, each.aupr, each.fpr95))
            lines.append(f"  {name:<12} {shares} {each.threshold:10.4f} {100 * each.open_macro_f1:13.2f}%")
        return "\n".join(lines)

    def _measure(self, name: ScoreName) -> ScoreMeasures:
        known, unknown, reference = (_scores(scored, name) for scored in (self.known, self.unknown, self.reference))
        threshold = metrics.rejection_threshold(reference)
        classes = self.known.logits.shape[1]
        of_known, of_unknown = self.known.finite, self.unknown.finite
        _, labels = np.unique(self.unknown.labels[of_unknown], return_inverse=True)
        present = int(labels.max()) + 1
        rng = np.random.default_rng(SEED)
        f1 = metrics.open_macro_f1(
            self.known.labels[of_known],
            np.where(known > threshold, classes, self.known.predictions[of_known]),
            labels,
            np.where(unknown > threshold, classes, self.unknown.predictions[of_unknown]),
            known_classes=classes,
            orders=np.stack([rng.permutation(present) for _ in range(DRAWS)]),
        ).mean(axis=0)
        openness = metrics.openness(classes, np.arange(present + 1))
        return ScoreMeasures(
            known,
            unknown,
            metrics.auroc(known, unknown),
            metrics.average_precision(known, unknown),
            metrics.false_alarms_at_95(known, unknown),
            threshold,
            openness,
            f1,
            metrics.weighted_by_openness(f1, openness),
        )


def _scores(scored: ScoredVideos, name: ScoreName) -> Float[np.ndarray, " n"]:
    return unknown_scores(scored.logits[scored.finite], name, scored.evidence)


def check_unknown(unknown: ClipSource, label_names: tuple[str, ...]) -> None:
    """Checks, before anything is computed, that videos can stand for what a model does not know.

    Args:
      unknown: the videos.
      label_names: the classes of the model.

    Raises:
      UserError: there are none, some are of a class of the model, or the model has a single class.
    """
    if len(label_names) < 2:
        raise UserError(
            f"the model has a single class, {label_names[0]!r}, so that no score of its logits sets videos apart. "
            "Unknown videos are for models of two classes or more."
        )
    if len(unknown) == 0:
        raise UserError(f"--unknown {unknown.name} has no videos. Give videos of classes that the model does not know.")
    present = [name for name, clips in zip(unknown.label_names, unknown.clips_of_class, strict=True) if clips]
    if shared := labels_among(present, label_names):
        more = ", ..." if len(shared) > _NAMED else ""
        raise UserError(
            f"--unknown {unknown.name} has videos of {counted(len(shared), 'class')} that the model knows: "
            f"{', '.join(map(repr, shared[:_NAMED]))}{more}. Unknown videos must be of other classes: leave these out, "
            "or rename a class that is another one in spite of its name."
        )


def read_rejection(given: str | os.PathLike[str], score: ScoreName, variables: Mapping[str, Any]) -> Rejection:
    """Reads from which score on videos are called unknown.

    Args:
      given: a number, or the folder of an evaluation with unknown videos, or its `evaluation.json`.
      score: what is compared.
      variables: `params` and `batch_stats` of the model that it is for.

    Returns:
      The rule.

    Raises:
      UserError: it is neither, or the evaluation has no threshold of that score, or is of another model or a control.
    """
    try:
        return Rejection(score, float(os.fspath(given)))
    except ValueError:
        pass
    path = local_path(given)
    path = path / _REPORT if path.is_dir() else path
    try:
        report = read_json(path)
        weights, measured = (report["open_set"][name] for name in ("weights", "scores"))
        threshold = measured[score]["threshold"] if score in measured else None
        order = report["frame_order"]
    except OSError as error:
        raise UserError(
            f"{os.fspath(given)!r} is neither a number nor the folder of an evaluation ({error.strerror}). Give a "
            "threshold such as 0.5, or a folder that `motion-vit evaluate --unknown` has written."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no report of an evaluation with unknown videos. Give the folder of one: `motion-vit evaluate "
            "--unknown` writes it."
        ) from error
    if threshold is None:
        raise UserError(
            f"{path} has no threshold of the score {score}, but of {', '.join(measured)}: choose one by --reject-by."
        )
    if not isinstance(threshold, int | float) or not math.isfinite(threshold):
        raise UserError(f"{path} is damaged: its threshold of the score {score} is {threshold!r}. Evaluate again.")
    if weights != weights_fingerprint(variables):
        raise UserError(
            f"{path} is an evaluation of other weights, whose scores are not those of this model. Evaluate this one "
            "with --unknown, or give the threshold as a number."
        )
    if order != "normal":
        raise UserError(
            f"{path} is an evaluation of {order} frames, a control. Give one of videos as they are, or a number."
        )
    return Rejection(score, threshold)
