"""Scores that say how likely a video is of no class that a model knows: the larger, the likelier.

Sources: the largest softmax probability is the baseline of Hendrycks and Gimpel (arXiv 1610.02136), the energy that of
Liu et al. (arXiv 2010.03759), and uncertainty that of evidential learning, see `motion_vit.training.losses.evidence`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from motion_vit.errors import UserError
from motion_vit.ranges import SHARE, Number, Range, refusal
from motion_vit.training.losses.evidence import EvidenceName, evidence_of, uncertainty

ScoreName = Literal["uncertainty", "max_softmax", "energy"]
"""`K / S` of evidence; 1 minus the largest softmax probability; `-log sum exp` of the logits."""

SCORE_RANGES: Mapping[ScoreName, Range] = {
    "uncertainty": SHARE,
    "max_softmax": SHARE,
    "energy": Number(-1e9, 1e9),
}
"""What a threshold of each score may be."""


def known_scores(evidence: EvidenceName | None) -> tuple[ScoreName, ...]:
    """Lists the scores that a model has, the one to choose first.

    Args:
      evidence: what makes evidence of its logits; None of a model that was not trained with evidence.
    """
    plain: tuple[ScoreName, ...] = ("max_softmax", "energy")
    return plain if evidence is None else ("uncertainty", *plain)


def unknown_scores(
    logits: Float[np.ndarray, "*n classes"], score: ScoreName, evidence: EvidenceName | None = None
) -> Float[np.ndarray, "*n"]:
    """Computes a score.

    Args:
      logits: means over the views of each video; finite.
      score: one of `known_scores(evidence)`.
      evidence: what makes evidence of the logits; the score "uncertainty" alone needs it.

    Returns:
      The score of each video, in float64.

    Raises:
      UserError: the model has no such score.
    """
    check_score(score, evidence)
    if score == "uncertainty" and evidence is not None:
        return np.asarray(uncertainty(evidence_of(jnp.asarray(logits, jnp.float32), evidence)), np.float64)
    wide = np.asarray(logits, np.float64)
    largest = wide.max(axis=-1)
    sums = np.exp(wide - largest[..., None]).sum(axis=-1)
    return np.asarray(-largest - np.log(sums) if score == "energy" else 1 - 1 / sums)


def check_score(score: str, evidence: EvidenceName | None) -> None:
    """Checks that a model has a score.

    Args:
      score: perhaps one of `known_scores(evidence)`.
      evidence: what makes evidence of the model's logits, or None.

    Raises:
      UserError: it has not.
    """
    if score not in known_scores(evidence):
        raise UserError(
            f"the model has no score {score!r}. Its scores are {', '.join(known_scores(evidence))}; uncertainty is for "
            "models that were trained with loss.name=evidential."
        )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The score of a video, and whether it is called unknown.

    Attributes:
      score: see `ScoreName`.
      value: the score of the video.
      threshold: the largest score of a video that is not called unknown.
    """

    score: ScoreName
    value: float
    threshold: float

    @property
    def unknown(self) -> bool:
        """The answer: above the threshold, a video is called unknown."""
        return self.value > self.threshold

    def __str__(self) -> str:
        """Compares the two in words."""
        return f"{self.score} {self.value:.3f}, {'above' if self.unknown else 'not above'} {self.threshold:.3f}"


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A rule that calls videos unknown.

    Attributes:
      score: what is compared.
      threshold: what the score of an unknown video exceeds.
    """

    score: ScoreName
    threshold: float

    def __post_init__(self) -> None:
        """Checks the threshold.

        Raises:
          UserError: the score never has such a value.
        """
        if not SCORE_RANGES[self.score].holds(self.threshold):
            raise UserError(
                f"{refusal(f'the threshold of {self.score}', self.threshold, SCORE_RANGES[self.score])}. "
                "`motion-vit evaluate --unknown` finds one."
            )

    def judge(self, logits: Float[np.ndarray, " classes"], evidence: EvidenceName | None) -> Verdict:
        """Compares a video's score with the threshold.

        Args:
          logits: means over its views; finite.
          evidence: what makes evidence of them, or None.
        """
        return Verdict(self.score, float(unknown_scores(logits, self.score, evidence)), self.threshold)
