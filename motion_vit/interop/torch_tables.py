"""The table of each model family: how its weights are called in PyTorch. Imports and exports both read it."""

from collections.abc import Iterable

from flax import linen as nn

from motion_vit.errors import UserError
from motion_vit.interop import uniformer_names
from motion_vit.interop.torch_names import Rule, TorchEntry, torch_entry
from motion_vit.models.uniformer import UniFormer

_RULES: dict[type[nn.Module], tuple[Rule, ...]] = {UniFormer: uniformer_names.RULES}

STEP_COUNTER = "num_batches_tracked"
"""PyTorch's count of BatchNorm updates. It is used only without a momentum, which no model here does."""


def torch_entries(model: nn.Module, paths: Iterable[str]) -> dict[str, TorchEntry]:
    """How the variables of a model are called and laid out in PyTorch.

    Args:
      model: a model of `motion_vit.create_model`.
      paths: "/"-joined paths of its variables, which begin with the collection.

    Returns:
      Path -> name and layout in PyTorch.

    Raises:
      UserError: the model has no PyTorch counterpart.
    """
    if type(model) not in _RULES:
        known = ", ".join(model_class.__name__ for model_class in _RULES)
        raise UserError(f"no PyTorch naming is known for {type(model).__name__}. Known are: {known}.")
    return {path: torch_entry(_RULES[type(model)], path) for path in paths}
