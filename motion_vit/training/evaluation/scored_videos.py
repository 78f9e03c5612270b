"""Holds what a model said of each video of an evaluation: its logits, and what follows from them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from motion_vit.data.sources.clip_source import ClipSource, clip_name
from motion_vit.training.evaluation.metrics import NO_CLASS, predicted_classes
from motion_vit.training.inference.ranking import finite_rows
from motion_vit.training.losses.evidence import EvidenceName, evidence_of


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredVideos:
    """Videos that could be decoded, with their labels and logits.

    Attributes:
      source: where the videos are.
      rows: number of each video in it.
      labels: true class of each.
      logits: means over the views of each video.
      views: number of views of each video.
      decode_seconds: time that decoding all views of each video took.
      evidence: what makes evidence of the logits, of which probabilities are then made; None for the softmax.
    """

    source: ClipSource
    rows: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    logits: Float[np.ndarray, "n classes"]
    views: int
    decode_seconds: Float[np.ndarray, " n"]
    evidence: EvidenceName | None = None

    def __len__(self) -> int:
        """Returns the number of videos."""
        return len(self.rows)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each video. They are read anew from the source, which takes a while for one of many videos."""
        return tuple(clip_name(self.source, int(row)) for row in self.rows)

    @functools.cached_property
    def finite(self) -> Bool[np.ndarray, " n"]:
        """True for each video all of whose logits are finite."""
        return np.asarray(finite_rows(self.logits))

    @functools.cached_property
    def predictions(self) -> Int[np.ndarray, " n"]:
        """The class of the largest logit; `NO_CLASS` where logits are not finite."""
        return predicted_classes(self.logits)

    @functools.cached_property
    def right(self) -> Bool[np.ndarray, " n"]:
        """True for each video whose class was predicted."""
        return np.asarray(self.predictions == self.labels)

    @functools.cached_property
    def log_probabilities(self) -> Float[np.ndarray, "n classes"]:
        """Logarithms of the probabilities of the mean logits, in float64; NaN where logits are not finite."""
        logits = np.where(self.finite[:, None], self.logits, np.nan).astype(np.float64)
        if self.evidence is not None:
            alpha = 1 + np.asarray(evidence_of(jnp.asarray(logits, jnp.float32), self.evidence), np.float64)
            return np.log(alpha) - np.log(alpha.sum(axis=1, keepdims=True))
        shifted = logits - logits.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    @property
    def probabilities(self) -> Float[np.ndarray, "n classes"]:
        """The probabilities of the mean logits; NaN where they are not finite."""
        return np.asarray(np.exp(self.log_probabilities))

    @property
    def confidence(self) -> Float[np.ndarray, " n"]:
        """The probability of the predicted class; NaN where there is none."""
        own = np.take_along_axis(self.probabilities, np.maximum(self.predictions, 0)[:, None], axis=1)[:, 0]
        return np.where(self.predictions == NO_CLASS, np.nan, own)

    @property
    def label_log_probabilities(self) -> Float[np.ndarray, " n"]:
        """The logarithm of the probability of each video's own class; NaN where logits are not finite."""
        return np.take_along_axis(self.log_probabilities, self.labels[:, None].astype(np.intp), axis=1)[:, 0]
