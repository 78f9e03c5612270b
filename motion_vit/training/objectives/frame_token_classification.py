"""Classification by tokens of frames that were computed before the training: the frozen encoder is left out."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from motion_vit.training.inputs.targets import smoothed_targets
from motion_vit.training.objectives.classification import STORED, Classification
from motion_vit.training.objectives.objective import Judgement, StepContext, Tree


class LabelledTokens(NamedTuple):
    """Tokens of the frames of clips, and the probabilities that these are to be given."""

    tokens: Float[Array, "b frames tokens c"]
    targets: Float[Array, "b classes"]


@dataclasses.dataclass(frozen=True)
class FrameTokenClassification:
    """The objective of a classifier of tokens of frames.

    Of equal tokens, losses and gradients are those of `Classification`: what the model draws at random depends on the
    names of its layers, and not on whether its encoder runs.

    Attributes:
      classification: what is learned; without augmentation, teachers, debiasing and losses on cost volumes.
    """

    classification: Classification

    def inputs(self, batch: Mapping[str, jax.Array], context: StepContext, key: PRNGKeyArray) -> LabelledTokens:
        """Takes the tokens as they are stored, and makes the targets.

        Args:
          batch: as for `Objective.inputs`, but that `clip` holds tokens of frames.
          context: not read.
          key: not read.

        Returns:
          Tokens and targets.
        """
        classes = self.classification.model.num_classes
        targets = smoothed_targets(batch["label"], classes, self.classification.label_smoothing)
        return LabelledTokens(batch["clip"], targets)

    def judge(
        self, variables: Mapping[str, Tree], inputs: LabelledTokens, context: StepContext, key: PRNGKeyArray
    ) -> Judgement:
        """Classifies clips by their tokens.

        Args:
          variables: `params` and `batch_stats` of the whole model.
          inputs: of the method `inputs`.
          context: see `StepContext`.
          key: fixes every draw.

        Returns:
          As `Classification.judge`.
        """
        classification = self.classification
        logits, updates = classification.model.apply(
            variables,
            inputs.tokens,
            train=True,
            rngs={"dropout": key},
            mutable=list(STORED),
            method="classify_frame_tokens",
        )
        return classification.judge_logits(logits, updates, inputs.targets, context)
