"""Semi-supervised classification: an average of the student itself gives labels to unlabelled clips.

Sources: SVFormer (Xing et al., CVPR 2023, arXiv 2211.13222) and SeFAR (Huang et al., AAAI 2025, arXiv 2501.01245); see
`motion_vit.training.losses.pseudo_labels` and `motion_vit.training.inputs.tube_mixing`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.training.inputs.mixing import partners_of
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
from motion_vit.training.objectives.classification import Classification, LabelledClips, by_path, right_clips
from motion_vit.training.objectives.dropout_passes import dropout_passes
from motion_vit.training.objectives.objective import Judgement, StepContext, Tree

Clips = Float[Array, "b t h w 3"]

UNLABELLED_ENTRIES = ("unlabelled_weak", "unlabelled_strong", "unlabelled_label", "unlabelled_weight")
"""What a batch has besides the labelled clips: two views of each unlabelled clip; a label, -1 where none is known."""

# Set the draws of a step apart from those of the labelled part.
_PASSES_STREAM, _MIXING_STREAM, _MIXED_PASS_STREAM = 11, 12, 13


@dataclasses.dataclass(frozen=True)
class SemiSupervision:
    """Describes what is learned from unlabelled clips.

    Attributes:
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
      ramp: factor of both weights at a step.
      groups: parts of the batch within which clips are mixed, one for each device that it is split over.
    """

    method: PseudoLabelMethod
    threshold: float
    passes: int
    weight: float
    mix_weight: float
    mix_alpha: float
    mix_patch: int
    mix_compared: MixingTarget
    labels_known: bool
    ramp: Callable[[jax.Array], jax.Array]
    groups: int


class PartlyLabelledClips(NamedTuple):
    """Labelled clips, and unlabelled ones with the labels that the teacher gives them.

    Attributes:
      labelled: inputs of the classification.
      strong: strong views of the unlabelled clips, normalised.
      labels: of the unlabelled clips, by the teacher.
      weights: of the unlabelled clips, 0 for those that do not count.
      known: labels of the unlabelled clips, -1 where none is known.
    """

    labelled: LabelledClips
    strong: Clips
    labels: PseudoLabels
    weights: Float[Array, " b"]
    known: Int[Array, " b"]


@dataclasses.dataclass(frozen=True)
class SemiSupervisedClassification:
    """The objective of a classifier that also learns from unlabelled clips.

    Attributes:
      classification: what is learned from the labelled ones; without teachers, debiasing and losses on cost volumes.
      supervision: what is learned from the others.
    """

    classification: Classification
    supervision: SemiSupervision

    def inputs(self, batch: Mapping[str, jax.Array], context: StepContext, key: PRNGKeyArray) -> PartlyLabelledClips:
        """Augments the labelled clips, and asks the teacher, the average of the student, for labels of the others.

        Args:
          batch: as for `Objective.inputs`, with `UNLABELLED_ENTRIES`.
          context: see `StepContext`; it has averages.
          key: fixes every draw.

        Returns:
          Inputs of both kinds.

        Raises:
          UserError: the method compares passes with dropout, and the model drops nothing.
        """
        normalization = self.classification.normalization
        weak = normalization(batch["unlabelled_weak"])
        variables = {"params": context.averages, "batch_stats": context.batch_stats}

        def evaluate(key: PRNGKeyArray | None = None) -> Float[Array, "b classes"]:
            rngs = {} if key is None else {"dropout": key}
            logits = self.classification.model.apply(variables, weak, train=False, rngs=rngs)
            return jnp.asarray(logits, jnp.float32)

        if self.supervision.method == "fixmatch":
            labels = confident_labels(evaluate(), self.supervision.threshold)
        else:
            stream = jax.random.fold_in(key, _PASSES_STREAM)
            labels = weighed_labels(dropout_passes(evaluate, stream, self.supervision.passes))
        return PartlyLabelledClips(
            labelled=self.classification.inputs(batch, context, key),
            strong=normalization(batch["unlabelled_strong"]),
            labels=labels,
            weights=batch["unlabelled_weight"],
            known=batch["unlabelled_label"],
        )

    def judge(
        self, variables: Mapping[str, Tree], inputs: PartlyLabelledClips, context: StepContext, key: PRNGKeyArray
    ) -> Judgement:
        """Classifies clips of both kinds.

        Args:
          variables: `params` and `batch_stats` of the student.
          inputs: of the method `inputs`.
          context: see `StepContext`.
          key: fixes every draw.

        Returns:
          The loss of each labelled clip, its measure `top1`, and the added loss of the unlabelled ones. Summaries are
          `unlabelled_loss` and `mixing_loss`, both without their weights, and `pseudo_label_weight`, the mean of the
          weights of labels. For "fixmatch" that is the share that the teacher is sure of. Where labels are known,
          `pseudo_label_top1` is the share of right ones among those that count.
        """
        supervision, groups = self.supervision, self.supervision.groups
        clips, targets, *_ = inputs.labelled
        # In one batch, so that BatchNorm sees both kinds.
        logits, stored = self._train(variables, _joined(clips, inputs.strong, groups), key)
        of_clips, of_strong = _parted(logits, len(clips), groups)
        losses = self.classification.loss_of_labels(of_clips, targets, context)
        for added in jax.tree.leaves(stored.get("losses", {})):
            losses += _parted(added, len(clips), groups)[0]
        found = {"unlabelled_loss": clip_mean(pseudo_label_loss(of_strong, inputs.labels), inputs.weights)}
        added = supervision.weight * found["unlabelled_loss"]
        batch_stats = stored.get("batch_stats", {})
        if supervision.mix_weight:
            found["mixing_loss"], batch_stats = self._mixing_loss(
                {**variables, "batch_stats": batch_stats}, inputs, key
            )
            added += supervision.mix_weight * found["mixing_loss"]
        return Judgement(
            losses=losses,
            measures={"top1": right_clips(of_clips, targets)},
            summaries=by_path(stored.get("summaries", {})) | found | self._measures(inputs),
            batch_stats=batch_stats,
            added=supervision.ramp(context.step) * added,
        )

    def _train(self, variables: Mapping[str, Tree], clips: Clips, key: PRNGKeyArray) -> tuple[jax.Array, Tree]:
        """Classifies clips as in training; returns logits in float32, and what the model has stored."""
        logits, stored = self.classification.model.apply(
            variables, clips, train=True, rngs={"dropout": key}, mutable=["batch_stats", "losses", "summaries"]
        )
        return jnp.asarray(logits, jnp.float32), stored

    def _mixing_loss(
        self, variables: Mapping[str, Tree], inputs: PartlyLabelledClips, key: PRNGKeyArray
    ) -> tuple[jax.Array, Tree]:
        """Classifies mixed clips; returns the mean of the loss, and the new running statistics."""
        supervision, groups = self.supervision, self.supervision.groups
        mixed, share = mix_tubes(
            inputs.strong,
            inputs.weights,
            jax.random.fold_in(key, _MIXING_STREAM),
            alpha=supervision.mix_alpha,
            patch=supervision.mix_patch,
            groups=groups,
        )
        logits, stored = self._train(variables, mixed, jax.random.fold_in(key, _MIXED_PASS_STREAM))
        partners = PseudoLabels(*(partners_of(values, groups) for values in inputs.labels))
        losses = mixing_loss(logits, inputs.labels, partners, share, compared=supervision.mix_compared)
        return clip_mean(losses, inputs.weights), stored.get("batch_stats", {})

    def _measures(self, inputs: PartlyLabelledClips) -> dict[str, jax.Array]:
        """Measures the labels of the teacher."""
        labels, weights = inputs.labels, inputs.weights
        measures = {"pseudo_label_weight": clip_mean(labels.weights, weights)}
        if self.supervision.labels_known:
            counted = weights * labels.weights
            right = jnp.sum(counted * (labels.classes == inputs.known))
            measures["pseudo_label_top1"] = right / jnp.maximum(jnp.sum(counted), 1e-6)
        return measures


def sine_ramp(warmup_epochs: float, epochs: float, steps_per_epoch: float) -> Callable[[jax.Array], jax.Array]:
    """Makes SeFAR's ramp: 0 in the epochs of a warm-up, then a quarter of a sine that reaches 1 in the last epoch.

    Args:
      warmup_epochs: epochs that learn from labels alone.
      epochs: of the whole run.
      steps_per_epoch: may be a fraction.

    Returns:
      A function of the number of the step, from 0: `sin(pi / 2 (epoch + 1 - warmup) / (epochs - warmup))`.
    """

    def ramp(step: jax.Array) -> jax.Array:
        epoch = jnp.floor(step / steps_per_epoch)
        share = jnp.clip((epoch + 1 - warmup_epochs) / (epochs - warmup_epochs), 0.0, 1.0)
        return jnp.where(epoch >= warmup_epochs, jnp.sin(jnp.pi / 2 * share), 0.0)

    return ramp


def _no_ramp(step: jax.Array) -> jax.Array:
    return jnp.ones((), jnp.float32)


def semi_supervision(config: ConfigDict, *, steps_per_epoch: float, groups: int) -> SemiSupervision | None:
    """Makes what a recipe asks to be learned from unlabelled clips.

    Args:
      config: the recipe.
      steps_per_epoch: may be a fraction.
      groups: parts of the batch, one for each device that it is split over.

    Returns:
      It, or None without unlabelled clips.
    """
    fields = config.unlabelled
    if not fields.data:
        return None
    ramps = fields.method == "adaptive"
    return SemiSupervision(
        method=fields.method,
        threshold=fields.threshold,
        passes=fields.passes,
        weight=fields.weight,
        mix_weight=fields.mix_weight,
        mix_alpha=fields.mix_alpha,
        mix_patch=fields.mix_patch,
        mix_compared=fields.mix_compared,
        labels_known=fields.labels_known,
        ramp=sine_ramp(fields.warmup_epochs, config.epochs, steps_per_epoch) if ramps else _no_ramp,
        groups=groups,
    )


def _joined(first: Float[Array, "a *rest"], second: Float[Array, "b *rest"], groups: int) -> Float[Array, "c *rest"]:
    """Puts two batches together within each group, so that no clip moves between devices."""
    parts = [values.reshape(groups, -1, *values.shape[1:]) for values in (first, second)]
    return jnp.concatenate(parts, axis=1).reshape(-1, *first.shape[1:])


def _parted(joined: Float[Array, "c *rest"], first: int, groups: int) -> tuple[jax.Array, jax.Array]:
    """Takes apart what `_joined` put together, of which the first batch has so many rows."""
    grouped, rest = joined.reshape(groups, -1, *joined.shape[1:]), joined.shape[1:]
    rows = first // groups
    return grouped[:, :rows].reshape(-1, *rest), grouped[:, rows:].reshape(-1, *rest)
