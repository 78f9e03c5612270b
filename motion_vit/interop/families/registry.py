"""What is known about the foreign weights of each model family, besides their names: see `weight_names` for those."""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from flax import linen as nn

from motion_vit.errors import UserError
from motion_vit.interop.families.resnet_options import resnet_clips, resnet_names, resnet_notes, resnet_options
from motion_vit.interop.families.state_dict_shapes import has_own_names, own_options
from motion_vit.interop.families.timesformer_options import timesformer_clips, timesformer_notes, timesformer_options
from motion_vit.interop.families.uniformer_options import uniformer_clips, uniformer_notes, uniformer_options
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.motion_prompted import MotionPrompted
from motion_vit.models.resnet import ResNet
from motion_vit.models.timesformer import TimeSformer
from motion_vit.models.uniformer import UniFormer


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


def _same_names(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    return {name: name for name in names}


@dataclasses.dataclass(frozen=True)
class ModelFamily:
    """A class of models whose weights other frameworks have, too.

    Attributes:
      parts: parts that may start anew, by name.
      structure: the options that make a network another one, of another name.
      read_options: reads the options of the model off names and shapes of weights in PyTorch.
      clips: how published weights, whose options were read, took their clips: fields of the recipe's `data`.
      notes: what to know about weights, by their names and shapes, in a model of all these options.
      names: what the weights of a source are called in a model, from their names and those of the model's weights.
    """

    parts: Mapping[str, Part]
    structure: Collection[str]
    read_options: Callable[[Mapping[str, Shape]], dict[str, Any]]
    clips: Callable[[Mapping[str, Any]], dict[str, Any]]
    notes: Callable[[Mapping[str, Shape], Mapping[str, Any]], list[str]]
    names: Callable[[Collection[str], Collection[str]], Mapping[str, str]] = _same_names

    def options(self, shapes: Mapping[str, Shape]) -> dict[str, Any]:
        """The options of the model that weights leave no doubt about.

        Args:
          shapes: names and shapes of the weights, in PyTorch or of this library.
        """
        return own_options(shapes) if has_own_names(shapes) else self.read_options(shapes)

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
        return any(re.fullmatch(self.parts[part].pattern, path.partition("/")[2]) for part in parts)

    def copied_from(self, path: str, parts: Collection[str]) -> str | None:
        """The path of the weight that one starts as a copy of, where it starts anew; None if it does not.

        Args:
          path: a path here, beginning with the collection.
          parts: names of the parts that start anew.
        """
        for pattern, original in (copy for part in parts for copy in self.parts[part].copies):
            if found := re.fullmatch(pattern, path):
                return found.expand(original)
        return None


_MOTION_MODULE = r".*/block\d+/motion/.*"
_HEAD = Part("the classifier", r"(.*/)?head/.*", ("num_classes",))
_COST_VOLUME_OPTIONS = ("window", "position_bias", "motion_branch")

_FAMILIES: dict[type[nn.Module], ModelFamily] = {
    UniFormer: ModelFamily(
        parts={
            "head": _HEAD,
            "motion": Part(
                "the weights that only EMIM and motion modules have",
                rf".*/attention/(rpb|motion/.*)|{_MOTION_MODULE}",
                ("placement", "head_channels", "motion_module", *_COST_VOLUME_OPTIONS),
            ),
        },
        structure=("widths", "depths", "patch_sizes"),
        read_options=uniformer_options,
        clips=uniformer_clips,
        notes=uniformer_notes,
    ),
    TimeSformer: ModelFamily(
        parts={
            "head": _HEAD,
            "temporal": Part(
                "the attention over time (as a copy of that within frames)",
                r".*/temporal_(attention|norm|fc)/.*|.*/time_embedding",
                ("attention", "frames", "temporal_attention", *_COST_VOLUME_OPTIONS),
                copies=(
                    (r"(.*)/temporal_attention/((?:qkv|proj)/.*)", r"\1/attention/\2"),
                    (r"(.*)/temporal_norm/(.*)", r"\1/norm1/\2"),
                ),
            ),
            "motion": Part(
                "the weights that only cost volumes and motion modules have",
                rf".*/temporal_attention/(rpb|motion/.*)|{_MOTION_MODULE}",
                ("temporal_attention", "motion_module", *_COST_VOLUME_OPTIONS),
            ),
        },
        structure=("width", "depth", "patch_size"),
        read_options=timesformer_options,
        clips=timesformer_clips,
        notes=timesformer_notes,
    ),
    ResNet: ModelFamily(
        parts={"head": _HEAD, "motion": Part("the motion modules", _MOTION_MODULE, ("motion_module",))},
        structure=("widths", "depths", "bottleneck"),
        read_options=resnet_options,
        clips=resnet_clips,
        notes=resnet_notes,
        names=resnet_names,
    ),
}

_PROMPT = Part("the motion prompt", r"prompt/.*")


def model_family(model: nn.Module) -> ModelFamily:
    """What is known about the foreign weights of a model; of one behind motion prompts, about its backbone's.

    Args:
      model: a model of `motion_vit.create_model`.

    Raises:
      UserError: nothing is.
    """
    if isinstance(model, MotionPrompted):
        family = model_family(model.backbone)
        behind = {
            name: dataclasses.replace(part, pattern=rf"backbone/(?:{part.pattern})")
            for name, part in family.parts.items()
        }
        return dataclasses.replace(family, parts={**behind, "prompt": _PROMPT})
    if type(model) not in _FAMILIES:
        known = ", ".join(model_class.__name__ for model_class in _FAMILIES)
        raise UserError(f"no foreign weights are known for {type(model).__name__}. They are for: {known}.")
    return _FAMILIES[type(model)]
