"""Semi-supervised steps: labelled clips, and unlabelled ones that an average of the student itself gives labels to.

Sources: SVFormer (Xing et al., CVPR 2023, arXiv 2211.13222) and SeFAR (Huang et al., AAAI 2025, arXiv 2501.01245); see
`motion_vit.training.losses.pseudo_labels` and `motion_vit.training.inputs.tube_mixing`.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.training.inputs.mixing import partners_of
from motion_vit.training.inputs.normalization import Normalization
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
from motion_vit.training.step.dropout_passes import dropout_passes
from motion_vit.training.step.outcome import ForwardPass, Outcome, by_path, correct_clips
from motion_vit.training.step.regex_rules import Tree
from motion_vit.training.step.state import TrainState

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
      normalization: pixels to inputs.
      groups: parts of the batch, one for each device that it is split over.
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
    normalization: Normalization
    groups: int

    def make_outcome(
        self,
        forward: ForwardPass,
        augment: Callable[[dict[str, jax.Array], PRNGKeyArray], tuple[Clips, Float[Array, "b classes"]]],
        loss_of_labels: Callable[[Float[Array, "b classes"], Float[Array, "b classes"]], Float[Array, " b"]],
    ) -> Callable[[Sequence[Tree], TrainState, dict[str, jax.Array], jax.Array, PRNGKeyArray], Outcome[jax.Array]]:
        """Makes the forward and backward pass of a batch.

        Args:
          forward: applies the student.
          augment: makes inputs and targets of the labelled part of a batch.
          loss_of_labels: the loss of each labelled clip, with its weight.

        Returns:
          A function of nothing, state, batch, the sum of the weights of labelled clips, and a key. It adds metrics:
          `unlabelled_loss` and `mixing_loss`, both without their weights, and `pseudo_label_weight`, the mean of the
          weights of labels. For "fixmatch" that is the share that the teacher is sure of. Where labels are known,
          `pseudo_label_top1` is the share of right ones among those that count.
        """

        def outcome_of(
            _: Sequence[Tree], state: TrainState, batch: dict[str, jax.Array], total: jax.Array, key: PRNGKeyArray
        ) -> Outcome[jax.Array]:
            clips, targets = augment(batch, key)
            strong = self.normalization(batch["unlabelled_strong"])
            weights = batch["unlabelled_weight"]
            labels = self._labels(forward, state, self.normalization(batch["unlabelled_weak"]), key)
            ramp = self.ramp(state.step)

            def loss_of(params: Tree) -> tuple[jax.Array, tuple[Tree, jax.Array, dict[str, jax.Array]]]:
                # In one batch, so that BatchNorm sees both kinds.
                logits, stored = forward.train(params, state.batch_stats, _joined(clips, strong, self.groups), key)
                of_clips, of_strong = _parted(logits, len(clips), self.groups)
                losses = loss_of_labels(of_clips, targets)
                for added in jax.tree.leaves(stored.get("losses", {})):
                    losses += _parted(added, len(clips), self.groups)[0]
                loss = clip_mean(losses, batch["weight"], total)
                found = {"unlabelled_loss": clip_mean(pseudo_label_loss(of_strong, labels), weights)}
                loss += ramp * self.weight * found["unlabelled_loss"]
                batch_stats = stored.get("batch_stats", {})
                if self.mix_weight:
                    of_mixed, batch_stats = self._mixing_loss(
                        forward, params, batch_stats, strong, labels, weights, key
                    )
                    found["mixing_loss"] = of_mixed
                    loss += ramp * self.mix_weight * of_mixed
                return loss, (batch_stats, of_clips, by_path(stored.get("summaries", {})) | found)

            (loss, (batch_stats, logits, summaries)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
            summaries |= self._measures(labels, batch)
            grads = jax.lax.with_sharding_constraint(grads, forward.sharding)
            return Outcome(loss, grads, correct_clips(logits, targets, batch["weight"]), batch_stats, summaries)

        return outcome_of

    def _labels(self, forward: ForwardPass, state: TrainState, weak: Clips, key: PRNGKeyArray) -> PseudoLabels:
        """Asks the teacher, the average of the student, in evaluation mode."""
        if self.method == "fixmatch":
            return confident_labels(forward.evaluate(state.ema, state.batch_stats, weak), self.threshold)
        stream = jax.random.fold_in(key, _PASSES_STREAM)
        return weighed_labels(dropout_passes(forward, state.ema, state.batch_stats, weak, stream, self.passes))

    def _mixing_loss(
        self,
        forward: ForwardPass,
        params: Tree,
        batch_stats: Tree,
        strong: Clips,
        labels: PseudoLabels,
        weights: Float[Array, " b"],
        key: PRNGKeyArray,
    ) -> tuple[jax.Array, Tree]:
        """Classifies mixed clips; returns the mean of the loss, and the new running statistics."""
        mixed, share = mix_tubes(
            strong,
            weights,
            jax.random.fold_in(key, _MIXING_STREAM),
            alpha=self.mix_alpha,
            patch=self.mix_patch,
            groups=self.groups,
        )
        logits, stored = forward.train(params, batch_stats, mixed, jax.random.fold_in(key, _MIXED_PASS_STREAM))
        partners = PseudoLabels(*(partners_of(values, self.groups) for values in labels))
        losses = mixing_loss(logits, labels, partners, share, compared=self.mix_compared)
        return clip_mean(losses, weights), stored.get("batch_stats", {})

    def _measures(self, labels: PseudoLabels, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Measures the labels of the teacher."""
        weights, known = batch["unlabelled_weight"], batch["unlabelled_label"]
        measures = {"pseudo_label_weight": clip_mean(labels.weights, weights)}
        if self.labels_known:
            counted = weights * labels.weights
            right = jnp.sum(counted * (labels.classes == known))
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


def semi_supervision(
    config: ConfigDict, normalization: Normalization, *, steps_per_epoch: float, groups: int
) -> SemiSupervision | None:
    """Makes what a recipe asks to be learned from unlabelled clips.

    Args:
      config: the recipe.
      normalization: pixels to inputs.
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
        ramp=sine_ramp(fields.warmup_epochs, config.epochs, steps_per_epoch)
        if ramps
        else lambda step: jnp.float32(1.0),
        normalization=normalization,
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
