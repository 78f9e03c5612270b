"""Classification: the loss of the labels, and those that a model's parts and cost volumes add."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray

from motion_vit.models.video_model import VideoModel
from motion_vit.modules.emim import COST_VOLUMES
from motion_vit.training.inputs.clip_augmentation import NO_AUGMENTATION, ClipAugmentation, augment_batch
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.correspondence import CorrespondenceLosses
from motion_vit.training.losses.registry import Loss, takes_progress
from motion_vit.training.objectives.objective import Judgement, Tree

# Sets the draws of losses apart from those of dropout, which take the key itself.
_CORRESPONDENCE_STREAM = 2


class LabelledClips(NamedTuple):
    """Augmented clips and the probabilities that they are to be given."""

    clips: Float[Array, "b t h w 3"]
    targets: Float[Array, "b classes"]


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
      groups: parts of a batch within which clips are mixed, one for each device that it is split over.
    """

    model: VideoModel
    normalization: Normalization
    loss: Loss
    augmentation: ClipAugmentation = NO_AUGMENTATION
    label_smoothing: float = 0.0
    weight: float = 1.0
    correspondence: CorrespondenceLosses | None = None
    groups: int = 1

    def inputs(self, batch: Mapping[str, jax.Array], key: PRNGKeyArray) -> LabelledClips:
        """Normalises, augments and mixes clips.

        Args:
          batch: as for `Objective.inputs`.
          key: fixes every draw.

        Returns:
          The clips and their targets.

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
        return LabelledClips(clips, targets)

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
          wrong. Summaries are whatever the model stores in its collection `summaries`, by its path, and the unweighted
          means of the losses of `correspondence`.
        """
        clips, targets = inputs
        logits, updates = self.model.apply(
            variables,
            clips,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats", "losses", "summaries", *([COST_VOLUMES] if self.correspondence else [])],
        )
        added, summaries = jax.tree.leaves(updates.get("losses", {})), _by_path(updates.get("summaries", {}))
        if self.correspondence:
            stream = jax.random.fold_in(key, _CORRESPONDENCE_STREAM)
            of_clips = self.correspondence(self.model, updates[COST_VOLUMES], clips, stream)
            added += [loss.weighted for loss in of_clips.values()]
            summaries |= {name: jnp.mean(loss.plain) for name, loss in of_clips.items()}
        over_training = {"progress": progress} if takes_progress(self.loss) else {}
        of_labels = self.loss(logits.astype(jnp.float32), targets, **over_training)
        # To argmax, NaN is the largest of all.
        right = jnp.isfinite(logits).all(axis=-1) & (jnp.argmax(logits, -1) == jnp.argmax(targets, -1))
        return Judgement(
            losses=sum(added, start=self.weight * of_labels),
            measures={"top1": right.astype(jnp.float32)},
            summaries=summaries,
            batch_stats=updates.get("batch_stats", {}),
        )


def _by_path(summaries: Tree) -> dict[str, Float[Array, ""]]:
    """Flattens what modules stored to "/"-joined paths; each stored one number under a name."""
    flat = traverse_util.flatten_dict(dict(summaries), sep="/")
    return {path: values[0].astype(jnp.float32) for path, values in flat.items()}
