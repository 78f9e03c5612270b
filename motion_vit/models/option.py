"""Traits of an option of a model, stated once, at the field of the model's class."""

import dataclasses
from typing import Any, Literal

from flax import linen as nn

Effect = Literal["network", "classes", "inputs", "training", "precision", "execution", "implementation"]
"""What an option changes.

- "network": what the model computes; weights that were trained with another value are those of another network.
- "classes": how many classes it tells apart, which the data decide.
- "inputs": how it reads clips, which must be as they were normalised.
- "training": how it learns, and nothing that trained weights depend on.
- "precision": the dtype that it computes in.
- "execution": how it is compiled and laid out on devices, and no number. The default of its class runs everywhere.
- "implementation": which implementation of an operator it runs; with None one is chosen for the platform.
"""

LARGEST_DEPTH = 200
"""Blocks of a network or of a stage that no real one comes near; for `OptionTraits.largest`."""

_TRAITS = "motion_vit_option"


@dataclasses.dataclass(frozen=True)
class OptionTraits:
    """Traits of an option, by which the library treats it.

    Attributes:
      effect: what it changes. Fine-tuning reports other values of "network" options, exports leave out those of
        "execution" and "implementation".
      recipe_field: the field of a recipe that decides it; "" for an option that `model.options` may name.
      largest: a limit that no real network comes near, for options that cost memory or time before any shape is known:
        what exceeds it is a slip, damaged, or meant to exhaust the machine. None for no limit.
    """

    effect: Effect = "network"
    recipe_field: str = ""
    largest: int | None = None


def option(default: Any, *, effect: Effect = "network", recipe_field: str = "", largest: int | None = None) -> Any:
    """Makes a field of a model's class that is more than a property of the network.

    A field without it is a "network" option, or has the traits of the field of its name in a base class.

    Args:
      default: the option's default.
      effect: see `OptionTraits`.
      recipe_field: see `OptionTraits`.
      largest: see `OptionTraits`.

    Returns:
      The field, to be assigned in the class: `dropout: float = option(0.0, effect="training")`.
    """
    return dataclasses.field(default=default, metadata={_TRAITS: OptionTraits(effect, recipe_field, largest)})


def option_defaults(model: nn.Module | type[nn.Module]) -> dict[str, Any]:
    """Lists the options of a model or of a class of models or input adapters.

    Args:
      model: the model or the class.

    Returns:
      Option -> default of the class, in the order of its fields.
    """
    return {
        field.name: field.default
        for field in dataclasses.fields(model)
        if field.name not in ("parent", "name") and field.default is not dataclasses.MISSING
    }


def option_traits(model: nn.Module | type[nn.Module]) -> dict[str, OptionTraits]:
    """Lists how the library treats the options of a model, its own and not those of a model behind it.

    Args:
      model: the model or the class.

    Returns:
      Option -> traits.
    """
    model_class = model if isinstance(model, type) else type(model)
    return {name: _traits(model_class, name) for name in option_defaults(model)}


def _traits(model_class: type[nn.Module], name: str) -> OptionTraits:
    """Returns the traits of the first class, from the model's to its bases, whose field has some."""
    for each in model_class.__mro__:
        field = each.__dict__.get("__dataclass_fields__", {}).get(name)
        if field is not None and _TRAITS in field.metadata:
            traits: OptionTraits = field.metadata[_TRAITS]
            return traits
    return OptionTraits()
