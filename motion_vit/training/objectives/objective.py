"""The contract of an objective, which the training step minimises without knowing what it is.

A new one is a file with a class that has these two methods and with what `motion_vit.training.step.objective_registry`
enters by its name.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray

Tree = Any  # nested mappings of arrays


class StepContext(NamedTuple):
    """The state of a step that an objective may read besides its clips; no gradient goes to any of it.

    Attributes:
      step: the steps that are done.
      progress: their share of the run.
      batch_stats: the running statistics before the step, nested.
      averages: the averages of the parameters, nested; {} where the run keeps none.
      teachers: the variables of each teacher, nested.
    """

    step: Int[Array, ""]
    progress: Float[Array, ""]
    batch_stats: Tree
    averages: Tree
    teachers: tuple[Tree, ...]


class Judgement(NamedTuple):
    """A forward pass of clips, judged.

    Attributes:
      losses: the loss of each clip; it must be finite also for clips of weight 0.
      measures: what else is told of each clip, by name, such as `top1`; the log has the mean over clips that count.
      summaries: numbers of the whole part of a batch, by name; the log has them as they are.
      batch_stats: new running statistics of the network, nested.
      added: a loss of the whole part of a batch, beside the mean of those of clips.
    """

    losses: Float[Array, " b"]
    measures: dict[str, Float[Array, " b"]]
    summaries: dict[str, Float[Array, ""]]
    batch_stats: Tree
    added: Float[Array, ""] | float = 0.0


@runtime_checkable
class Objective(Protocol):
    """An objective, which a run minimises."""

    def inputs(self, batch: Mapping[str, jax.Array], context: StepContext, key: PRNGKeyArray) -> Any:
        """Makes what `judge` takes of clips; no gradient goes through it.

        Args:
          batch: `clip` uint8 `[b, t, h, w, 3]`, `label` `[b]` and `weight` `[b]`, 0 for clips that do not count; and
            what else the recipe puts into it.
          context: see `StepContext`.
          key: fixes every draw.

        Returns:
          A tree of arrays.
        """
        ...

    def judge(self, variables: Mapping[str, Tree], inputs: Any, context: StepContext, key: PRNGKeyArray) -> Judgement:
        """Runs the network on clips and computes the loss of each.

        Args:
          variables: `params` and `batch_stats` of the network.
          inputs: of the method `inputs`.
          context: see `StepContext`.
          key: fixes every draw, such as those of dropout.

        Returns:
          The losses, and what else is measured.
        """
        ...
