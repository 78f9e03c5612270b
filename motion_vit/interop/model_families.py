"""What is known about the foreign weights of each model family, besides their names: see `torch_tables` for those."""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from flax import linen as nn

from motion_vit.errors import UserError
from motion_vit.interop.stored_tensor import Shape
from motion_vit.interop.uniformer_options import uniformer_clips, uniformer_notes, uniformer_options
from motion_vit.models.uniformer import UniFormer


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a model that may keep its initial values, whatever a source has in its place.

    Attributes:
      description: what it is.
      pattern: matches the paths of its weights as a whole.
      options: the options of the model that its weights decide.
    """

    description: str
    pattern: str
    options: Collection[str]


@dataclasses.dataclass(frozen=True)
class ModelFamily:
    """A class of models whose weights other frameworks have, too.

    Attributes:
      parts: parts that may start anew, by name.
      options: reads the options of the model off names and shapes of weights in PyTorch.
      clips: how published weights with a number of classes took their clips: fields of the recipe's `data`.
      notes: what to know about weights, by their names and shapes, in a model of some options.
    """

    parts: Mapping[str, Part]
    options: Callable[[Mapping[str, Shape]], dict[str, Any]]
    clips: Callable[[int | None], dict[str, str]]
    notes: Callable[[Mapping[str, Shape], Mapping[str, Any]], list[str]]

    def starts_anew(self, path: str, parts: Collection[str]) -> bool:
        """Whether the weight at a path belongs to one of some parts.

        Args:
          path: a path here, beginning with the collection.
          parts: names of parts.

        Raises:
          UserError: there is no such part.
        """
        if unknown := [part for part in parts if part not in self.parts]:
            raise UserError(f"{unknown[0]!r} is no part that can start anew. The parts are: {', '.join(self.parts)}.")
        return any(re.fullmatch(self.parts[part].pattern, path) for part in parts)


_FAMILIES: dict[type[nn.Module], ModelFamily] = {
    UniFormer: ModelFamily(
        parts={
            "head": Part("the classifier", r"params/head/.*", ("num_classes",)),
            "motion": Part(
                "the weights that only EMIM has",
                r"params/.*/attention/(rpb|motion/.*)",
                ("placement", "window", "position_bias", "motion_branch", "head_channels"),
            ),
        },
        options=uniformer_options,
        clips=uniformer_clips,
        notes=uniformer_notes,
    )
}


def model_family(model: nn.Module) -> ModelFamily:
    """What is known about the foreign weights of a model.

    Args:
      model: a model of `motion_vit.create_model`.

    Raises:
      UserError: nothing is.
    """
    if type(model) not in _FAMILIES:
        known = ", ".join(model_class.__name__ for model_class in _FAMILIES)
        raise UserError(f"no foreign weights are known for {type(model).__name__}. They are for: {known}.")
    return _FAMILIES[type(model)]
