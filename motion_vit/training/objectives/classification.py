"""Classification: the loss of the labels, and those that a model's parts and cost volumes add."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray

from motion_vit.models.intermediates import FEATURES, named_features
from motion_vit.models.video_model import VideoModel
from motion_vit.modules.emim import COST_VOLUMES
from motion_vit.training.inputs.clip_augmentation import NO_AUGMENTATION, ClipAugmentation, augment_batch
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.correspondence import CorrespondenceLosses
from motion_vit.training.losses.registry import Loss, takes_progress
from motion_vit.training.objectives.debiasing import HEADS, Debiasing
from motion_vit.training.objectives.feature_teaching import PROJECTIONS
from motion_vit.training.objectives.objective import Judgement, StepContext, Tree
from motion_vit.training.objectives.teaching import Taught, Teaching

STORED = ("batch_stats", "losses", "summaries")
"""Collections that a model in training stores something in."""

# Set the draws of losses apart from those of dropout, which take the key itself.
_CORRESPONDENCE_STREAM, _DEBIASING_STREAM = 2, 3


class LabelledClips(NamedTuple):
    """Augmented clips, and what a classifier is to make of them.

    Attributes:
      clips: normalised.
      targets: the probabilities that they are to be given.
      taught: what teachers say of them, if there are any.
      weights: 0 for those that do not count.
    """

    clips: Float[Array, "b t h w 3"]
    targets: Float[Array, "b classes"]
    taught: Taught | None
    weights: Float[Array, " b"]


@dataclasses.dataclass(frozen=True)
class Classification:
    """The objective of a classifier.

    Attributes:
      model: the classifier, as it runs on the devices.
      normalization: pixels to inputs.
      loss: of the labels, see `motion_vit.training.losses.registry`.
      augmentation: what is done to the clips on the device, after normalisation.
      label_smoothing: see `smoothed_targets`.
      weight: of `loss`.
      correspondence: losses on the model's cost volumes, or None.
      teaching: what is learned from teachers, or None.
      debiasing: how features of the model are debiased, or None.
      groups: parts of a batch within which clips are mixed, one for each device that it is split over.
    """

    model: VideoModel
    normalization: Normalization
    loss: Loss
    augmentation: ClipAugmentation = NO_AUGMENTATION
    label_smoothing: float = 0.0
    weight: float = 1.0
    correspondence: CorrespondenceLosses | None = None
    teaching: Teaching | None = None
    debiasing: Debiasing | None = None
    groups: int = 1

    def inputs(self, batch: Mapping[str, jax.Array], context: StepContext, key: PRNGKeyArray) -> LabelledClips:
        """Normalises, augments and mixes clips, and asks the teachers.

        Args:
          batch: as for `Objective.inputs`.
          context: see `StepContext`; it has the variables of teachers.
          key: fixes every draw.

        Returns:
          The clips, their targets and what the teachers say.

        Raises:
          UserError: clips are to be mixed and a group has no two of them.
        """
        clips, targets = augment_batch(
            batch,
            key,
            normalization=self.normalization,
            augmentation=self.augmentation,
            num_classes=self.model.num_classes,
            label_smoothing=self.label_smoothing,
            groups=self.groups,
        )
        taught = self.teaching.taught(context.teachers, clips, targets) if self.teaching else None
        return LabelledClips(clips, targets, taught, batch["weight"])

    def judge(
        self, variables: Mapping[str, Tree], inputs: LabelledClips, context: StepContext, key: PRNGKeyArray
    ) -> Judgement:
        """Classifies clips.

        Losses of `correspondence`, `teaching` and `debiasing`, and what the model stores in its collection `losses`,
        one number a clip, are added to the loss of the labels.

        Args:
          variables: `params` and `batch_stats` of the model. Where features are learned, `params` has `PROJECTIONS`,
            and `HEADS` where they are debiased.
          inputs: of the method `inputs`.
          context: see `StepContext`.
          key: fixes every draw.

        Returns:
          The loss of each clip. The measure `top1` counts a clip as right where the largest logit is that of its
          largest target: of a mixed clip, the label with the larger share. A clip with NaN or infinite logits counts as
          wrong. `distillation` is the unweighted loss of `teaching`, `feature_distillation` that of its features, and
          `debiasing` that of the heads of `debiasing`. Summaries are whatever the model stores in its collection
          `summaries`, by its path, the unweighted means of the losses of `correspondence`, and the criteria of
          `debiasing`, which add a loss of the whole batch.
        """
        clips, targets, taught, weights = inputs
        learns_features = self.debiasing or (self.teaching and self.teaching.features)
        logits, updates = self.model.apply(
            variables,
            clips,
            train=True,
            rngs={"dropout": key},
            mutable=[
                *STORED,
                *([COST_VOLUMES] if self.correspondence else []),
                *([FEATURES] if learns_features else []),
            ],
        )
        added: list[Float[Array, " b"]] = []
        summaries: dict[str, Float[Array, ""]] = {}
        measures: dict[str, Float[Array, " b"]] = {}
        if self.correspondence:
            stream = jax.random.fold_in(key, _CORRESPONDENCE_STREAM)
            of_clips = self.correspondence(self.model, updates[COST_VOLUMES], clips, stream)
            added += [loss.weighted for loss in of_clips.values()]
            summaries |= {name: jnp.mean(loss.plain) for name, loss in of_clips.items()}
        if self.teaching and taught is not None:
            measures["distillation"] = self.teaching.loss(logits.astype(jnp.float32), taught.logits)
            added.append(self.teaching.loss.weight * measures["distillation"])
            if features := self.teaching.features:
                measures["feature_distillation"] = features.losses(
                    variables["params"][PROJECTIONS], named_features(updates), taught.features, len(clips)
                )
                added.append(features.weight * measures["feature_distillation"])
        of_batch: Float[Array, ""] | float = 0.0
        if debiasing := self.debiasing:
            stream = jax.random.fold_in(key, _DEBIASING_STREAM)
            heads, features_of_clips = variables["params"][HEADS], named_features(updates)
            debiased = debiasing.judge(heads, features_of_clips, targets, weights, context, stream)
            measures["debiasing"] = debiased.losses
            added.append(debiasing.weight * debiased.losses)
            summaries |= debiased.summaries
            of_batch = debiasing.weight * debiasing.hsic_weight * debiased.criterion
        judged = self.judge_logits(logits, updates, targets, context, added)
        return judged._replace(
            measures=judged.measures | measures, summaries=judged.summaries | summaries, added=of_batch
        )

    def judge_logits(
        self,
        logits: Float[Array, "b classes"],
        updates: Mapping[str, Tree],
        targets: Float[Array, "b classes"],
        context: StepContext,
        added: Sequence[Float[Array, " b"]] = (),
    ) -> Judgement:
        """Judges what the model has said of clips.

        Args:
          logits: of the model.
          updates: its collections `STORED`.
          targets: see `LabelledClips`.
          context: see `StepContext`.
          added: further losses of each clip.

        Returns:
          As `judge`, without what comes of `correspondence` and `teaching`.
        """
        logits = logits.astype(jnp.float32)
        return Judgement(
            losses=sum(
                [*jax.tree.leaves(updates.get("losses", {})), *added],
                start=self.loss_of_labels(logits, targets, context),
            ),
            measures={"top1": right_clips(logits, targets)},
            summaries=by_path(updates.get("summaries", {})),
            batch_stats=updates.get("batch_stats", {}),
        )

    def loss_of_labels(
        self, logits: Float[Array, "b classes"], targets: Float[Array, "b classes"], context: StepContext
    ) -> Float[Array, " b"]:
        """Computes the loss of the labels of each clip, with its weight.

        Args:
          logits: in float32.
          targets: see `LabelledClips`.
          context: see `StepContext`.
        """
        over_training = {"progress": context.progress} if takes_progress(self.loss) else {}
        return self.weight * self.loss(logits, targets, **over_training)


def right_clips(logits: Float[Array, "b classes"], targets: Float[Array, "b classes"]) -> Float[Array, " b"]:
    """Marks the clips whose largest logit is that of the largest target, and whose logits are finite, with 1."""
    # To argmax, NaN is the largest of all.
    right = jnp.isfinite(logits).all(axis=-1) & (jnp.argmax(logits, -1) == jnp.argmax(targets, -1))
    return right.astype(jnp.float32)


def by_path(summaries: Tree) -> dict[str, Float[Array, ""]]:
    """Flattens what modules stored to "/"-joined paths; each stored one number under a name."""
    flat = traverse_util.flatten_dict(dict(summaries), sep="/")
    return {path: values[0].astype(jnp.float32) for path, values in flat.items()}
