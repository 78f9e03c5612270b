"""Parameters that an objective trains beside those of its model: parts of the state of a run, and of nothing else.

They lie beside the parts of the model at the top level of the parameters, so that whatever goes by the names of
parameters, such as weight decay or how they are split over devices, is theirs, too. Whoever uses the model, an
evaluation, an export or a run that starts from its weights, gets it without them.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import PRNGKeyArray

from motion_vit.training.objectives.debiasing import HEADS
from motion_vit.training.objectives.feature_teaching import PROJECTIONS
from motion_vit.training.objectives.objective import Tree

# Name at the top level -> what sets its draws apart from those of the network, and of the others.
_STREAMS: Mapping[str, int] = {PROJECTIONS: 7, HEADS: 8}


@runtime_checkable
class HasParameters(Protocol):
    """A part of an objective that has parameters of its own."""

    def init(self, key: PRNGKeyArray) -> Tree:
        """Draws them.

        Args:
          key: fixes the draws.
        """
        ...


def with_own_parameters(
    variables: Mapping[str, Any], parts: Mapping[str, HasParameters | None], key: PRNGKeyArray
) -> dict[str, Any]:
    """Adds to the variables of a network what is trained beside it.

    Args:
      variables: `params` and `batch_stats`, nested.
      parts: parts of an objective by the name of their parameters; None where a recipe does without.
      key: the one that the network was drawn with.

    Returns:
      The variables, `params` with those of the parts.
    """
    own = {name: part.init(jax.random.fold_in(key, _STREAMS[name])) for name, part in parts.items() if part is not None}
    return {**variables, "params": {**variables["params"], **own}}


def own_parameters(params: Mapping[str, Tree]) -> dict[str, Tree]:
    """Selects those that are no part of the model, {} where there are none.

    Args:
      params: all that are trained.
    """
    return {name: tree for name, tree in params.items() if name in _STREAMS}


def model_parameters(params: Mapping[str, Tree]) -> dict[str, Tree]:
    """Selects the parameters of the model.

    Args:
      params: all that are trained.
    """
    return {name: tree for name, tree in params.items() if name not in _STREAMS}
