"""Classification: the loss of the labels, and those that a model's parts and cost volumes add."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray

from motion_vit.models.video_model import VideoModel
from motion_vit.modules.emim import COST_VOLUMES
from motion_vit.training.inputs.clip_augmentation import NO_AUGMENTATION, ClipAugmentation, augment_batch
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.clip_mean import clip_mean
from motion_vit.training.losses.correspondence import CorrespondenceLosses
from motion_vit.training.losses.distillation import Distillation
from motion_vit.training.losses.registry import Loss, takes_progress
from motion_vit.training.objectives.objective import Judgement, Tree

# Sets the draws of losses apart from those of dropout, which take the key itself.
_CORRESPONDENCE_STREAM = 2


TEACHERS = "teachers"
"""Entry of a batch: the variables of teachers, where there are some."""


class LabelledClips(NamedTuple):
    """Augmented clips, the probabilities that they are to be given, the logits of teachers, and which clips count."""

    clips: Float[Array, "b t h w 3"]
    targets: Float[Array, "b classes"]
    taught: Float[Array, "b classes"] | None
    weights: Float[Array, " b"]


@runtime_checkable
class Teaching(Protocol):
    """Teachers of a classifier, such as those of `motion_vit.training.step.teachers`."""

    @property
    def loss(self) -> Distillation:
        """The loss between their logits and those of the classifier."""
        ...

    def logits(
        self, variables: Any, clips: Float[Array, "b t h w 3"], targets: Float[Array, "b classes"]
    ) -> Float[Array, "b classes"]:
        """Computes the logits to learn from what a batch has as `TEACHERS`."""
        ...


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
      teaching: teachers whose logits are learned, too, or None.
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
    groups: int = 1

    def inputs(self, batch: Mapping[str, Any], key: PRNGKeyArray) -> LabelledClips:
        """Normalises, augments and mixes clips.

        Args:
          batch: as for `Objective.inputs`.
          key: fixes every draw.

        Returns:
          The clips, their targets, and what teachers say of them.

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
        taught = self.teaching.logits(batch[TEACHERS], clips, targets) if self.teaching else None
        return LabelledClips(clips, targets, taught, batch["weight"])

    def judge(
        self, variables: Mapping[str, Tree], inputs: LabelledClips, progress: Float[Array, ""], key: PRNGKeyArray
    ) -> Judgement:
        """Classifies clips.

        Losses of `correspondence`, and what the model stores in its collection `losses`, one number a clip, are added
        to the loss of the labels.

        Args:
          variables: `params` and `batch_stats` of the model.
          inputs: of the method `inputs`.
          progress: share of the run's steps that are done.
          key: fixes every draw.

        Returns:
          The loss of each clip. The measure `top1` counts a clip as right where the largest logit is that of its
          largest target: of a mixed clip, the label with the larger share. A clip with NaN or infinite logits counts as
          wrong. Summaries are whatever the model stores in its collection `summaries`, by its path, the unweighted
          means of the losses of `correspondence`, and `distillation`, that of the loss of teachers.
        """
        clips, targets, taught, weights = inputs
        logits, updates = self.model.apply(
            variables,
            clips,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats", "losses", "summaries", *([COST_VOLUMES] if self.correspondence else [])],
        )
        added, summaries = jax.tree.leaves(updates.get("losses", {})), by_path(updates.get("summaries", {}))
        if self.correspondence:
            stream = jax.random.fold_in(key, _CORRESPONDENCE_STREAM)
            of_clips = self.correspondence(self.model, updates[COST_VOLUMES], clips, stream)
            added += [loss.weighted for loss in of_clips.values()]
            summaries |= {name: jnp.mean(loss.plain) for name, loss in of_clips.items()}
        if self.teaching and taught is not None:
            of_teachers = self.teaching.loss(logits.astype(jnp.float32), taught)
            added.append(self.teaching.loss.weight * of_teachers)
            summaries["distillation"] = clip_mean(of_teachers, weights)
        return Judgement(
            losses=sum(added, start=self.loss_of_labels(logits, targets, progress)),
            measures={"top1": is_right(logits, targets)},
            summaries=summaries,
            batch_stats=updates.get("batch_stats", {}),
        )

    def loss_of_labels(
        self, logits: Float[Array, "b classes"], targets: Float[Array, "b classes"], progress: Float[Array, ""]
    ) -> Float[Array, " b"]:
        """Computes the loss of the labels, times its weight.

        Args:
          logits: of the model.
          targets: probabilities that the clips are to be given.
          progress: share of the run's steps that are done.

        Returns:
          The loss of each clip.
        """
        over_training = {"progress": progress} if takes_progress(self.loss) else {}
        return self.weight * self.loss(logits.astype(jnp.float32), targets, **over_training)


def is_right(logits: Float[Array, "b classes"], targets: Float[Array, "b classes"]) -> Float[Array, " b"]:
    """Tells for each clip if its largest logit is that of its largest target, and all are finite: 1 or 0."""
    # To argmax, NaN is the largest of all.
    right = jnp.isfinite(logits).all(axis=-1) & (jnp.argmax(logits, -1) == jnp.argmax(targets, -1))
    return right.astype(jnp.float32)


def by_path(summaries: Tree) -> dict[str, Float[Array, ""]]:
    """Flattens what modules stored to "/"-joined paths; each stored one number under a name."""
    flat = traverse_util.flatten_dict(dict(summaries), sep="/")
    return {path: values[0].astype(jnp.float32) for path, values in flat.items()}
