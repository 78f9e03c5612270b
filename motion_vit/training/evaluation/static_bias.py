"""Measures static bias: how much of its accuracy a model owes to still pictures, and how much to motion.

Source: Li et al., "Mitigating and Evaluating Static Bias of Action Representations in the Background and the
Foreground" (arXiv 2211.12883). `motion_vit.data.embedded.static_bias_sets` renders the videos.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from motion_vit.counts import counted
from motion_vit.data.embedded.static_bias_sets import StaticBiasSets, render_static_bias_sets
from motion_vit.data.sources.open_source import open_source
from motion_vit.errors import UserError
from motion_vit.training.checkpoints.trained_model import TrainedModel, Which
from motion_vit.training.evaluation.evaluate_checkpoint import CheckpointEvaluation, evaluate_checkpoint
from motion_vit.training.evaluation.result import Evaluation
from motion_vit.training.parallel.processes import SharedError, errors_together, is_primary
from motion_vit.zoo.load import as_trained


@dataclasses.dataclass(frozen=True)
class MotionAccuracy:
    """Accuracies on videos whose background was exchanged for still pictures, from 0 to 1.

    Attributes:
      scuba: of the object alone, moving over the picture: what a model that sees motion keeps.
      scufo: of one frame of each of these videos, repeated: where nothing moves, a high one is bad.
      contrasted: share of the videos that are right in SCUBA and wrong in SCUFO, 0 for a model that sees no motion.
    """

    scuba: float
    scufo: float
    contrasted: float


@dataclasses.dataclass(frozen=True)
class StaticBias:
    """The static bias of a model, on the videos that could be decoded in all sets.

    Attributes:
      videos: their number.
      classes: classes that the model tells apart.
      iid: accuracy on the videos as they are, with looks that follow labels as in training.
      by_background: kind of still picture -> accuracies over it.
      conflict: accuracy on the videos with the look of another class.
      follows_look: share of those videos that are taken for the class of their look.
    """

    videos: int
    classes: int
    iid: float
    by_background: Mapping[str, MotionAccuracy]
    conflict: float
    follows_look: float

    @property
    def mean(self) -> MotionAccuracy:
        """The means over the kinds of still pictures."""
        each = [dataclasses.astuple(accuracy) for accuracy in self.by_background.values()]
        return MotionAccuracy(*np.mean(each, axis=0).tolist())

    def to_dict(self) -> dict[str, Any]:
        """Returns the measures for JSON; those of SCUBA and SCUFO are means, and by kind of background."""
        return {
            "videos": self.videos,
            "iid": self.iid,
            **dataclasses.asdict(self.mean),
            "conflict": self.conflict,
            "follows_look": self.follows_look,
            "by_background": {name: dataclasses.asdict(each) for name, each in self.by_background.items()},
        }

    def __str__(self) -> str:
        """Formats the measures as a table."""
        rows = {**self.by_background, "mean": self.mean}
        lines = [
            f"static bias on {counted(self.videos, 'video')} (chance {100 / self.classes:.1f} %)",
            f"  {'IID':<12} {100 * self.iid:6.2f} %",
            f"  {'conflict':<12} {100 * self.conflict:6.2f} %; taken for the class of the look: "
            f"{100 * self.follows_look:.2f} %",
            f"  {'background':<12} {'SCUBA':>8} {'SCUFO':>8} {'contrasted':>11}",
        ]
        for name, each in rows.items():
            lines.append(
                f"  {name:<12} {100 * each.scuba:6.2f} % {100 * each.scufo:6.2f} % {100 * each.contrasted:9.2f} %"
            )
        return "\n".join(lines)


def evaluate_static_bias(
    checkpoint: TrainedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    which: Which = "last",
    ema: bool | None = None,
    **views: Any,
) -> tuple[CheckpointEvaluation, StaticBias]:
    """Evaluates a checkpoint on rendered videos, and again with other looks.

    The first call on some videos renders the sets, into the folder `static_bias` beside the list.

    Args:
      checkpoint: as `evaluate_checkpoint` takes it.
      data: a list of `motion-vit render --appearance-bias`, such as `videos/validation.csv`, or lines of it.
      which: as for `evaluate_checkpoint`.
      ema: as for `evaluate_checkpoint`.
      **views: `clips`, `crops`, `batch_size` and `workers` of `evaluate_checkpoint`.

    Returns:
      The evaluation of the videos as they are, and the static bias.

    Raises:
      UserError: the videos were not rendered by this library with looks that follow labels, or have one class; or
        what `evaluate_checkpoint` raises.
    """
    trained = as_trained(checkpoint, which=which, ema=ema)
    sets = _render_sets(data)

    def evaluated(videos: str | os.PathLike[str]) -> CheckpointEvaluation:
        return evaluate_checkpoint(trained, videos, which=which, **views)

    iid = evaluated(data)
    scuba: dict[str, Evaluation] = {background: evaluated(path) for background, path in sets.scuba.items()}
    scufo: dict[str, Evaluation] = {background: evaluated(path) for background, path in sets.scufo.items()}
    return iid, static_bias(iid, scuba, scufo, evaluated(sets.conflict), sets.looks)


def static_bias(
    iid: Evaluation,
    scuba: Mapping[str, Evaluation],
    scufo: Mapping[str, Evaluation],
    conflict: Evaluation,
    looks: tuple[str, ...],
) -> StaticBias:
    """Computes the static bias from evaluations of the same videos with different looks.

    Args:
      iid: of the videos as they are.
      scuba: kind of background -> evaluation.
      scufo: the same kinds -> evaluation.
      conflict: of the videos with looks of other classes.
      looks: the classes of these looks, of every row of the list.

    Returns:
      The measures.

    Raises:
      UserError: no video could be decoded in all of the sets.
    """
    everything = [iid, conflict, *scuba.values(), *scufo.values()]
    seen = np.logical_and.reduce([_at_rows(each, np.ones(each.videos, bool)) for each in everything])
    if not seen.any():
        raise SharedError("no video could be decoded in all sets of the static bias; look at those that were skipped.")

    def right(evaluation: Evaluation) -> Bool[np.ndarray, " seen"]:
        return _at_rows(evaluation, evaluation.scored.right)[seen]

    names = np.array([*conflict.label_names, ""])  # the last is that of no class, `NO_CLASS`
    follows = names[conflict.scored.predictions] == np.array(looks)[conflict.scored.rows]
    pairs = {background: (right(scuba[background]), right(scufo[background])) for background in scuba}
    return StaticBias(
        videos=int(seen.sum()),
        classes=len(iid.label_names),
        iid=float(right(iid).mean()),
        by_background={
            background: MotionAccuracy(
                scuba=float(moving.mean()), scufo=float(still.mean()), contrasted=float((moving & ~still).mean())
            )
            for background, (moving, still) in pairs.items()
        },
        conflict=float(right(conflict).mean()),
        follows_look=float(_at_rows(conflict, follows)[seen].mean()),
    )


def _at_rows(evaluation: Evaluation, values: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " rows"]:
    """Puts what is known of the videos that were decoded at their rows of the list; False elsewhere."""
    whole = np.zeros(len(evaluation.scored.source), bool)
    whole[evaluation.scored.rows] = values
    return whole


def _render_sets(data: str | os.PathLike[str]) -> StaticBiasSets:
    """Renders the sets in the first process, while the others wait, and finds them in each."""
    sets = None
    with errors_together():
        if is_primary():
            sets = _sets(data, progress=True)
    with errors_together():
        found = sets or _sets(data, progress=False)
    return found


def _sets(data: str | os.PathLike[str], *, progress: bool) -> StaticBiasSets:
    if not os.path.isfile(data):
        raise UserError(
            f"static bias cannot be measured on {os.fspath(data)}: it takes the list of rendered videos, beside which "
            "their parameters lie, such as DIR/validation.csv of `motion-vit render --out DIR --appearance-bias 0.95`."
        )
    source = open_source(data, default_split="validation")
    stored = [source[row] for row in range(len(source))]
    clips = [(clip.id, source.label_names[clip.label]) for clip in stored]
    path = pathlib.Path(data)
    return render_static_bias_sets(path.absolute().parent, clips, name=path.stem, progress=progress)
