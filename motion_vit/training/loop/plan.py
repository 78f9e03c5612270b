"""The steps at which a run logs, evaluates and saves."""

import dataclasses
from typing import NamedTuple

from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError


class Due(NamedTuple):
    """Tasks after a step."""

    log: bool
    evaluation: bool
    checkpoint: bool


@dataclasses.dataclass(frozen=True)
class Plan:
    """The schedule of a run, in steps.

    Attributes:
      total: steps of the whole run.
      steps_per_epoch: full batches of the training set.
      log_every: steps from one log line to the next; a short run logs each epoch.
      evaluate_every: steps from one evaluation to the next.
      save_every: steps from one checkpoint to the next, besides those after evaluations.
    """

    total: int
    steps_per_epoch: int
    log_every: int
    evaluate_every: int
    save_every: int

    @classmethod
    def of(cls, config: ConfigDict, source: ClipSource, unlabelled: ClipSource | None = None) -> "Plan":
        """Plans a recipe's run.

        Args:
          config: the recipe.
          source: the training clips, which make the epochs.
          unlabelled: the unlabelled clips, if there are any.

        Returns:
          The plan.

        Raises:
          UserError: there are fewer clips than a batch takes.
        """
        a_step = config.batch_size * config.unlabelled.per_labelled
        if unlabelled is not None and len(unlabelled) < a_step:
            raise UserError(
                f"a step takes batch_size x unlabelled.per_labelled = {a_step} unlabelled videos, but "
                f"{unlabelled.name} has only {len(unlabelled)}. Lower one of them."
            )
        steps_per_epoch = len(source) // config.batch_size
        if steps_per_epoch == 0:
            raise UserError(
                f"batch_size is {config.batch_size}, but {source.name} has only {counted(len(source), 'video')}. "
                "Choose a smaller batch_size."
            )
        return cls(
            total=max(round(config.epochs * steps_per_epoch), 1),
            steps_per_epoch=steps_per_epoch,
            log_every=min(config.log.every_steps, steps_per_epoch),
            evaluate_every=max(round(config.evaluation.every_epochs * steps_per_epoch), 1),
            save_every=config.checkpoint.every_steps,
        )

    def due(self, step: int, last: int) -> Due:
        """Says what is to be done after a step.

        Args:
          step: number of the step, from 1.
          last: number of the last step before the run pauses or ends.
        """
        return Due(
            log=step % self.log_every == 0 or step == last,
            evaluation=step % self.evaluate_every == 0 or step == self.total,
            checkpoint=step % self.save_every == 0,
        )
