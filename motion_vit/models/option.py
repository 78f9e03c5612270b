"""Traits of an option of a model, stated once, at the field of the model's class."""

import dataclasses
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from flax import linen as nn

from motion_vit.ranges import Choice, Flag, LikeDefault, Range

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

_TRAITS = "motion_vit_option"


@dataclasses.dataclass(frozen=True)
class OptionTraits:
    """Traits of an option, by which the library treats it.

    Attributes:
      effect: what it changes. Fine-tuning reports other values of "network" options, exports leave out those of
        "execution" and "implementation".
      recipe_field: the field of a recipe that decides it; "" for an option that `model.options` may name.
      takes: its range, whose limits no real network comes near: what exceeds them is a slip, damaged, or meant to
        exhaust the machine. None for that of the field's type.
    """

    effect: Effect = "network"
    recipe_field: str = ""
    takes: Range | None = None


def option(default: Any, *, effect: Effect = "network", recipe_field: str = "", takes: Range | None = None) -> Any:
    """Makes a field of a model's class that has a range, or is more than a property of the network.

    A field without it is a "network" option, or has the traits of the field of its name in a base class. Fields that
    are annotated as a `Literal`, and those whose default is True or False, have their range by that. Other fields
    without one take what is of the kind of their default.

    Args:
      default: the option's default.
      effect: see `OptionTraits`.
      recipe_field: see `OptionTraits`.
      takes: see `OptionTraits`.

    Returns:
      The field, to be assigned in the class: `dropout: float = option(0.0, effect="training")`.
    """
    return dataclasses.field(default=default, metadata={_TRAITS: OptionTraits(effect, recipe_field, takes)})


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


def option_ranges(model: nn.Module | type[nn.Module]) -> dict[str, Range]:
    """Lists the ranges of the options of a model, its own and not those of a model behind it.

    Args:
      model: the model or the class.

    Returns:
      Option -> range.
    """
    model_class = model if isinstance(model, type) else type(model)
    defaults = option_defaults(model_class)
    annotations = {field.name: field.type for field in dataclasses.fields(model_class)}
    return {
        name: _traits(model_class, name).takes or _range_of_type(annotations[name], default)
        for name, default in defaults.items()
    }


def _range_of_type(annotation: Any, default: Any) -> Range:
    """Returns the range that a field's annotation and default state."""
    if get_origin(annotation) is Literal:
        return Choice(get_args(annotation))
    if isinstance(default, bool):
        return Flag()
    return LikeDefault(default, _beside_none(annotation) if default is None else type(default))


def _beside_none(annotation: Any) -> type:
    """Returns the class of `float | None`; `object` where an annotation names none, as `Literal["a", "b"] | None`."""
    return next((kind for kind in get_args(annotation) if isinstance(kind, type) and kind is not NoneType), object)


def _traits(model_class: type[nn.Module], name: str) -> OptionTraits:
    """Returns the traits of the first class, from the model's to its bases, whose field has some."""
    for each in model_class.__mro__:
        field = each.__dict__.get("__dataclass_fields__", {}).get(name)
        if field is not None and _TRAITS in field.metadata:
            traits: OptionTraits = field.metadata[_TRAITS]
            return traits
    return OptionTraits()
