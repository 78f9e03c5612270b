"""The contract of an objective, which the training step minimises without knowing what it is.

A new one is a file with a class that has these two methods and with what `motion_vit.training.step.objective_registry`
enters by its name.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, PRNGKeyArray

Tree = Any  # nested mappings of arrays

AVERAGES = "averages"
"""Entry of a batch: the variables of the network with the averages of its parameters, where the run keeps them."""


class Judgement(NamedTuple):
    """A forward pass of clips, judged.

    Attributes:
      losses: the loss of each clip; it must be finite also for clips of weight 0.
      measures: what else is told of each clip, by name, such as `top1`; the log has the mean over clips that count.
      summaries: numbers of the whole part of a batch, by name; the log has them as they are.
      batch_stats: new running statistics of the network, nested.
      beside: what is added to the mean of the losses.
    """

    losses: Float[Array, " b"]
    measures: dict[str, Float[Array, " b"]]
    summaries: dict[str, Float[Array, ""]]
    batch_stats: Tree
    beside: Float[Array, ""] | float = 0.0


@runtime_checkable
class Objective(Protocol):
    """An objective, which a run minimises."""

    def inputs(self, batch: Mapping[str, Any], key: PRNGKeyArray) -> Any:
        """Makes what `judge` takes of clips; no gradient goes through it.

        Args:
          batch: `clip` uint8 `[b, t, h, w, 3]`, `label` `[b]` and `weight` `[b]`, 0 for clips that do not count; and
            what else the run has for its objective, such as `AVERAGES`.
          key: fixes every draw.

        Returns:
          A tree of arrays.
        """
        ...

    def judge(
        self, variables: Mapping[str, Tree], inputs: Any, progress: Float[Array, ""], key: PRNGKeyArray
    ) -> Judgement:
        """Runs the network on clips and computes the loss of each.

        Args:
          variables: `params` and `batch_stats` of the network.
          inputs: of the method `inputs`.
          progress: share of the run's steps that are done, for losses that change over training.
          key: fixes every draw, such as those of dropout.

        Returns:
          The losses, and what else is measured.
        """
        ...
