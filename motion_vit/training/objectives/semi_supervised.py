"""Semi-supervised classification: labelled clips, and others that an average of the classifier itself labels.

Sources: SVFormer (Xing et al., CVPR 2023, arXiv 2211.13222) and SeFAR (Huang et al., AAAI 2025, arXiv 2501.01245); see
`motion_vit.training.losses.pseudo_labels` and `motion_vit.training.inputs.tube_mixing`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.training.inputs.mixing import partners
from motion_vit.training.inputs.tube_mixing import mix_tubes
from motion_vit.training.losses.clip_mean import clip_mean
from motion_vit.training.losses.pseudo_labels import (
    MixingTarget,
    PseudoLabelMethod,
    PseudoLabels,
    confident_labels,
    mixing_loss,
    pseudo_label_loss,
    weighed_labels,
)
from motion_vit.training.objectives.classification import Classification, LabelledClips, by_path, is_right
from motion_vit.training.objectives.dropout_passes import dropout_passes
from motion_vit.training.objectives.objective import AVERAGES, Judgement, Tree

UNLABELLED_ENTRIES = ("unlabelled_weak", "unlabelled_strong", "unlabelled_label", "unlabelled_weight")
"""What a batch has besides the labelled clips: two views of each unlabelled clip; a label, -1 where none is known."""

_PASSES_STREAM, _MIXING_STREAM, _MIXED_PASS_STREAM = 11, 12, 13
# Steps are told by their share of the run, which is rounded: by less than that of an epoch.
_ROUNDING = 1e-4


class SemiSupervisedClips(NamedTuple):
    """Labelled clips, strong views of unlabelled ones, mixed strong views, and what a teacher says of them."""

    labelled: LabelledClips
    strong: Float[Array, "b t h w 3"]
    mixed: Float[Array, "b t h w 3"] | None
    share: Float[Array, " b"] | None
    labels: PseudoLabels
    known: Int[Array, " b"]
    weights: Float[Array, " b"]


@dataclasses.dataclass(frozen=True)
class SemiSupervised:
    """The objective of a classifier that also learns from unlabelled clips.

    Attributes:
      labelled: the objective of labelled clips, without losses on cost volumes and teachers.
      method: "fixmatch" takes the labels that the teacher is sure of; "adaptive" weighs all of them by how sure and
        steady it is with dropout.
      threshold: of "fixmatch", see `confident_labels`.
      passes: of "adaptive", see `dropout_passes`.
      weight: of the loss on strong views.
      mix_weight: of the loss on mixed strong views; 0 does not mix.
      mix_alpha: see `mix_tubes`.
      mix_patch: see `mix_tubes`.
      mix_compared: see `mixing_loss`.
      labels_known: whether the labels of the unlabelled clips are known, and compared with those of the teacher.
      ramp: factor of both weights at a share of the run's steps.
    """

    labelled: Classification
    method: PseudoLabelMethod
    threshold: float
    passes: int
    weight: float
    mix_weight: float
    mix_alpha: float
    mix_patch: int
    mix_compared: MixingTarget
    labels_known: bool
    ramp: Callable[[Float[Array, ""]], Float[Array, ""] | float]

    def inputs(self, batch: Mapping[str, Any], key: PRNGKeyArray) -> SemiSupervisedClips:
        """Augments labelled clips, asks the teacher for the labels of the others, and mixes their strong views.

        Args:
          batch: with `UNLABELLED_ENTRIES`, and `AVERAGES`, the variables of the teacher, which is in evaluation mode.
          key: fixes every draw.

        Returns:
          The clips.

        Raises:
          UserError: clips are to be mixed and a device has no two of them; or the method is "adaptive" and the model
            has no dropout.
        """
        strong, weights = self.labelled.normalization(batch["unlabelled_strong"]), batch["unlabelled_weight"]
        mixed, share = None, None
        if self.mix_weight:
            stream = jax.random.fold_in(key, _MIXING_STREAM)
            mixed, share = mix_tubes(
                strong, weights, stream, alpha=self.mix_alpha, patch=self.mix_patch, groups=self.labelled.groups
            )
        return SemiSupervisedClips(
            labelled=self.labelled.inputs(batch, key),
            strong=strong,
            mixed=mixed,
            share=share,
            labels=self._labels(batch, key),
            known=batch["unlabelled_label"],
            weights=weights,
        )

    def _labels(self, batch: Mapping[str, Any], key: PRNGKeyArray) -> PseudoLabels:
        """Asks the teacher what weak views show."""
        model, teacher = self.labelled.model, batch[AVERAGES]
        weak = self.labelled.normalization(batch["unlabelled_weak"])
        if self.method == "fixmatch":
            logits = jnp.asarray(model.apply(teacher, weak, train=False), jnp.float32)
            return confident_labels(logits, self.threshold)
        stream = jax.random.fold_in(key, _PASSES_STREAM)
        return weighed_labels(dropout_passes(model, teacher, weak, stream, self.passes))

    def judge(
        self, variables: Mapping[str, Tree], inputs: SemiSupervisedClips, progress: Float[Array, ""], key: PRNGKeyArray
    ) -> Judgement:
        """Classifies labelled clips with strong views, in one batch for BatchNorm to see both, and mixed views then.

        Args:
          variables: `params` and `batch_stats` of the model.
          inputs: of the method `inputs`.
          progress: share of the run's steps that are done.
          key: fixes every draw.

        Returns:
          The losses of the labelled clips, and beside them those of the others. Summaries, besides the model's, are
          `unlabelled_loss` and `mixing_loss`, both without their weights, and `pseudo_label_weight`, the mean of the
          weights of labels. For "fixmatch" that is the share that the teacher is sure of. Where labels are known,
          `pseudo_label_top1` is the share of right ones among those that count.
        """
        labelled, groups = inputs.labelled, self.labelled.groups
        together = _joined(labelled.clips, inputs.strong, groups)
        logits, stored = self._classify(variables, together, key)
        of_clips, of_strong = _parted(logits, len(labelled.clips), groups)
        losses = self.labelled.loss_of_labels(of_clips, labelled.targets, progress)
        for added in jax.tree.leaves(stored.get("losses", {})):
            losses += _parted(added, len(labelled.clips), groups)[0]
        of_labels = clip_mean(pseudo_label_loss(of_strong, inputs.labels), inputs.weights)
        summaries = by_path(stored.get("summaries", {})) | self._measures(inputs) | {"unlabelled_loss": of_labels}
        beside, batch_stats = self.weight * of_labels, stored.get("batch_stats", {})
        if inputs.mixed is not None and inputs.share is not None:
            after = {**variables, "batch_stats": batch_stats}
            mixed_logits, stored = self._classify(after, inputs.mixed, jax.random.fold_in(key, _MIXED_PASS_STREAM))
            others = PseudoLabels(*(partners(values, groups) for values in inputs.labels))
            of_mixed = mixing_loss(mixed_logits, inputs.labels, others, inputs.share, compared=self.mix_compared)
            summaries["mixing_loss"] = clip_mean(of_mixed, inputs.weights)
            beside, batch_stats = beside + self.mix_weight * summaries["mixing_loss"], stored.get("batch_stats", {})
        return Judgement(
            losses=losses,
            measures={"top1": is_right(of_clips, labelled.targets)},
            summaries=summaries,
            batch_stats=batch_stats,
            beside=self.ramp(progress) * beside,
        )

    def _classify(
        self, variables: Mapping[str, Tree], clips: Float[Array, "b t h w 3"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "b classes"], dict[str, Any]]:
        """Classifies clips as in training; returns the logits and what the model has stored."""
        logits, stored = self.labelled.model.apply(
            variables, clips, train=True, rngs={"dropout": key}, mutable=["batch_stats", "losses", "summaries"]
        )
        return jnp.asarray(logits, jnp.float32), dict(stored)

    def _measures(self, inputs: SemiSupervisedClips) -> dict[str, Float[Array, ""]]:
        """Measures the labels of the teacher."""
        labels, weights = inputs.labels, inputs.weights
        measures = {"pseudo_label_weight": clip_mean(labels.weights, weights)}
        if self.labels_known:
            counted = weights * labels.weights
            right = jnp.sum(counted * (labels.classes == inputs.known))
            measures["pseudo_label_top1"] = right / jnp.maximum(jnp.sum(counted), 1e-6)
        return measures


def sine_ramp(warmup_epochs: float, epochs: float) -> Callable[[Float[Array, ""]], Float[Array, ""]]:
    """Makes SeFAR's ramp: 0 in the epochs of a warm-up, then a quarter of a sine that reaches 1 in the last epoch.

    Args:
      warmup_epochs: epochs that learn from labels alone.
      epochs: of the whole run.

    Returns:
      A function of the share of the run's steps that are done: `sin(pi / 2 (epoch + 1 - warmup) / (epochs - warmup))`.
    """

    def ramp(progress: Float[Array, ""]) -> Float[Array, ""]:
        epoch = jnp.floor(progress * epochs + _ROUNDING)
        share = jnp.clip((epoch + 1 - warmup_epochs) / (epochs - warmup_epochs), 0.0, 1.0)
        return jnp.where(epoch >= warmup_epochs, jnp.sin(jnp.pi / 2 * share), 0.0)

    return ramp


def semi_supervised(config: ConfigDict, labelled: Classification) -> SemiSupervised:
    """Makes the objective of a recipe with unlabelled clips.

    Args:
      config: the recipe.
      labelled: the objective of its labelled clips.

    Returns:
      The objective.
    """
    fields = config.unlabelled
    ramps = fields.method == "adaptive"
    return SemiSupervised(
        labelled=labelled,
        method=fields.method,
        threshold=fields.threshold,
        passes=fields.passes,
        weight=fields.weight,
        mix_weight=fields.mix_weight,
        mix_alpha=fields.mix_alpha,
        mix_patch=fields.mix_patch,
        mix_compared=fields.mix_compared,
        labels_known=fields.labels_known,
        ramp=sine_ramp(fields.warmup_epochs, config.epochs) if ramps else lambda progress: 1.0,
    )


def _joined(first: Float[Array, "a *rest"], second: Float[Array, "b *rest"], groups: int) -> Float[Array, "c *rest"]:
    """Puts two batches together within each group, so that no clip moves between devices."""
    parts = [values.reshape(groups, -1, *values.shape[1:]) for values in (first, second)]
    return jnp.concatenate(parts, axis=1).reshape(-1, *first.shape[1:])


def _parted(
    joined: Float[Array, "c *rest"], first: int, groups: int
) -> tuple[Float[Array, "a *rest"], Float[Array, "b *rest"]]:
    """Takes apart what `_joined` put together, of which the first batch has so many rows."""
    grouped, rest = joined.reshape(groups, -1, *joined.shape[1:]), joined.shape[1:]
    rows = first // groups
    return grouped[:, :rows].reshape(-1, *rest), grouped[:, rows:].reshape(-1, *rest)
