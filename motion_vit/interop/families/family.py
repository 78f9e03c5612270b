"""The contract of a model family: what the importers and exporters of foreign weights ask about a class of models."""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from motion_vit.errors import UserError
from motion_vit.interop.families.name_rules import Rule
from motion_vit.interop.families.state_dict_shapes import has_own_names, own_options
from motion_vit.interop.files.stored_tensor import Shape, StoredTensor


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a model that may start anew, whatever a source has in its place.

    Attributes:
      description: what it is.
      pattern: matches the paths of its weights as a whole, behind their collection.
      options: the options of the model that its weights decide.
      copies: where not all of it keeps its initial values: pairs of a pattern of paths, and what the path is of the
        weight that is copied there.
    """

    description: str
    pattern: str
    options: Collection[str] = ()
    copies: Collection[tuple[str, str]] = ()


HEAD = Part("the classifier", r"(.*/)?head/.*", ("num_classes",))
"""The classifier of every model here."""


def _no_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    return {}


def _default_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _no_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    return []


def _no_window(model: Any) -> None:
    return None


def _same_names(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    return {name: name for name in names}


def _same_tensors(tensors: Mapping[str, StoredTensor]) -> Mapping[str, StoredTensor]:
    return tensors


@dataclasses.dataclass(frozen=True)
class ModelFamily:
    """A class of models whose weights other frameworks have, too.

    Only `rules` must be given: names are enough to import and to export. The other fields let the importer say what is
    wrong with weights that do not fit, and how to take clips.

    Attributes:
      rules: makes the table of names from a model of the class, whose options may decide them.
      parts: parts that may start anew, by name.
      structure: the options that make a network another one, of another name.
      read_options: reads the options of the model off names and shapes of weights in PyTorch.
      clips: how published weights, whose options were read, took their clips: fields of the recipe's `data`.
      notes: what to know about weights, by their names and shapes, in a model of all these options.
      names: what the weights of a source are called in a model, from their names and those of the model's weights.
      tensors: makes of the weights of a source those that the rules and all else here know: other codes call them
        otherwise, and split what is one weight here. It reads no values.
      window: of a model, frames, rows and columns of the windows that tables of biases for displacements are for; of
        images, they are repeated over time. None where there are no such tables.
      beside: matches as a whole the names of weights of a source that are no part of the network, such as those of a
        decoder that pretraining alone needs; "" for none.
    """

    rules: Callable[[Any], Sequence[Rule]]
    parts: Mapping[str, Part] = dataclasses.field(default_factory=lambda: {"head": HEAD})
    structure: Collection[str] = ()
    read_options: Callable[[Mapping[str, Shape]], dict[str, Any]] = _no_options
    clips: Callable[[Mapping[str, Any]], dict[str, Any]] = _default_clips
    notes: Callable[[Mapping[str, Shape], Mapping[str, Any]], list[str]] = _no_notes
    names: Callable[[Collection[str], Collection[str]], Mapping[str, str]] = _same_names
    tensors: Callable[[Mapping[str, StoredTensor]], Mapping[str, StoredTensor]] = _same_tensors
    window: Callable[[Any], tuple[int, int, int] | None] = _no_window
    beside: str = ""

    def options(self, shapes: Mapping[str, Shape]) -> dict[str, Any]:
        """Reads the options of the model that weights leave no doubt about.

        Args:
          shapes: names and shapes of the weights, in PyTorch or of this library.
        """
        return own_options(shapes) if has_own_names(shapes) else self.read_options(shapes)

    def starts_anew(self, path: str, parts: Collection[str]) -> bool:
        """Tells whether the weight at a path belongs to one of some parts.

        Args:
          path: a path here, beginning with the collection.
          parts: names of parts.

        Raises:
          UserError: there is no such part.
        """
        if unknown := [part for part in parts if part not in self.parts]:
            raise UserError(f"{unknown[0]!r} is no part that can start anew. The parts are: {', '.join(self.parts)}.")
        return any(re.fullmatch(self.parts[part].pattern, path.partition("/")[2]) for part in parts)

    def copied_from(self, path: str, parts: Collection[str]) -> str | None:
        """Finds the weight that another one starts as a copy of, where it starts anew.

        Args:
          path: a path here, beginning with the collection.
          parts: names of the parts that start anew.

        Returns:
          Its path; None if the weight does not start as a copy.
        """
        for pattern, original in (copy for part in parts for copy in self.parts[part].copies):
            if found := re.fullmatch(pattern, path):
                return found.expand(original)
        return None
