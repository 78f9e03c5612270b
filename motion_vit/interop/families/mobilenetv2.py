"""MobileNetV2's weights in TSN, TSM and M2A, which wrap its expansions, and in torchvision.

Sources: `archs/mobilenet_v2.py` and `ops/models.py` of mit-han-lab/temporal-shift-module and of gebob19/M2A;
torchvision's `mobilenetv2.py`. TSM wraps the expansion `conv.0` of a block as `conv.0.net`; a motion module makes it a
sequence: itself, and the convolution. With both, which nobody has published, the shift stands between them, as M2A's
authors have it in ResNets.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.imagenet import IMAGENET_MEAN, IMAGENET_STD
from motion_vit.interop.families.layouts import FRAME_CONVOLUTION, FRAME_DEPTHWISE
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.state_dict_shapes import first_size, has_own_names, known, size
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.mobilenetv2 import PUBLISHED_DEPTHS, MobileNetV2, stage_widths

_BACKBONE = "base_model."
"""Where the TSN class of the authors' code keeps the network; its classifier is beside it."""

_CLASSIFIER = re.compile(r"(new_fc|classifier|classifier\.1)\.(weight|bias)")
"""Names of the classifier: with dropout before it in that class, without, and in torchvision."""

_EXPANSION = re.compile(r"(base_model\.)?(features\.\d+\.conv\.0)(\.net|\.[12])?\.weight")
"""The first convolution of a block; behind its name what TSM, a motion module and both put there."""

_NESTED = re.compile(r"(features\.\d+\.conv)\.((?:0|1)\.[01]|[123])\.(\w+)")
_NESTED_PLACES = {
    True: {"0.0": 0, "0.1": 1, "1.0": 3, "1.1": 4, "2": 6, "3": 7},
    False: {"0.0": 0, "0.1": 1, "1": 3, "2": 4},
}
"""Places in torchvision's blocks, with an expansion and without, and their numbers in the authors' code."""

_SHIFTED = (".net", ".2")
_KINETICS_CLASSES = 400


def mobilenetv2_rules(model: MobileNetV2) -> tuple[Rule, ...]:
    """Makes the table of a MobileNetV2, from the path here to the name there; it depends on the model's options.

    Args:
      model: network whose weights are named.

    Returns:
      Rules for all its weights and running statistics.
    """
    rules = _unit_rules(Scope("stem/", f"{_BACKBONE}features.0."))
    blocks = [(stage, block) for stage, depth in enumerate(model.depths, start=1) for block in range(depth)]
    for number, (stage, block) in enumerate(blocks, start=1):
        scope = Scope(f"stage{stage}/block{block}/", f"{_BACKBONE}features.{number}.conv.")
        rules += _block_rules(model, scope, expands=stage > 1, mixes=model.mixes_frames(stage, block))
    rules += _unit_rules(Scope("last/", f"{_BACKBONE}features.{len(blocks) + 1}."))
    return (*rules, *Scope().layer("head", "new_fc"))


def _unit_rules(scope: Scope) -> list[Rule]:
    return [scope.kernel("conv", "0", FRAME_CONVOLUTION), *scope.batch_norm("norm", "1")]


def _block_rules(model: MobileNetV2, scope: Scope, *, expands: bool, mixes: bool) -> list[Rule]:
    rules = []
    if expands:
        place = _place_of_expansion(model) if mixes else ""
        rules += [scope.kernel("expand", f"0{place}", FRAME_CONVOLUTION), *scope.batch_norm("expand_norm", "1")]
    if mixes and model.motion_module != "none":
        rules += motion_module_rules(model.motion_module, scope.inner("motion/", "0.0."))
    first = 3 if expands else 0
    for path, layout in (("depthwise", FRAME_DEPTHWISE), ("project", FRAME_CONVOLUTION)):
        rules += [scope.kernel(path, str(first), layout), *scope.batch_norm(f"{path}_norm", str(first + 1))]
        first += 3
    return rules


def _place_of_expansion(model: MobileNetV2) -> str:
    """Names the place of the expansion of a block that mixes frames."""
    if model.motion_module != "none":
        return ".2" if model.temporal_shift else ".1"
    return ".net" if model.temporal_shift else ""


def mobilenetv2_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.mobilenetv2.MobileNetV2` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch, of any naming.

    Returns:
      The options that the weights leave no doubt about: `temporal_shift` only where it is on or a motion module is
      there, because TSN's weights have the names of those for images, which any model may start from.
    """
    named = {own: shapes[name] for name, own in _flat_names(shapes).items()}
    found: dict[str, Any] = {"num_classes": first_size(named, ("new_fc.weight",)), "temporal_shift": _shift(named)}
    outputs = list(_outputs_of_blocks(named))
    if outputs:
        found["motion_module"] = _motion_module(named)
    stages = _stages(outputs)
    if stages is not None:
        found["depths"] = tuple(map(len, stages))
        found["width"] = _width_factor(tuple(stage[0] for stage in stages))
        if found["width"] is not None and found["width"] <= 1:  # of a wider network the factor is part of it
            found["last_width"] = size(named, f"{_BACKBONE}features.{sum(map(len, stages)) + 1}.0.weight")
    return known(found)


def _stages(outputs: Sequence[int]) -> list[list[int]] | None:
    """Groups the output channels of blocks by stages: as published, else where they change; None if that is not it."""
    if len(outputs) == sum(PUBLISHED_DEPTHS):
        ends = list(itertools.accumulate(PUBLISHED_DEPTHS, initial=0))
        stages = [list(outputs[start:end]) for start, end in itertools.pairwise(ends)]
    else:
        stages = [list(stage) for _, stage in itertools.groupby(outputs)]
    alike = len(stages) == len(PUBLISHED_DEPTHS) and all(len(set(stage)) == 1 for stage in stages)
    return stages if alike else None


def _outputs_of_blocks(shapes: Mapping[str, Shape]) -> Iterator[int]:
    number = 1
    while True:
        projection = [f"{_BACKBONE}features.{number}.conv.{place}.weight" for place in (6, 3)]
        outputs = first_size(shapes, projection)
        if outputs is None:
            return
        yield outputs
        number += 1


def _width_factor(widths: tuple[int, ...]) -> float | None:
    """Finds the factor of the channels; None for channels that are rounded in another way.

    The largest factor that gives the channels of all stages is returned, which for multiples of a fortieth is the one
    that they were made with.
    """
    factor = min(width / published for width, published in zip(widths[1:], stage_widths(1.0)[1:], strict=True))
    return factor if stage_widths(factor) == widths else None


def _shift(names: Collection[str]) -> bool | None:
    """Tells if a temporal shift stands before the expansions; None if their names do not tell."""
    places = {found[3] for name in names if (found := _EXPANSION.fullmatch(name)) and found[3]}
    return any(place in _SHIFTED for place in places) if places else None


def _motion_module(names: Collection[str]) -> str | None:
    """Returns "none" or "m2a", which has the weights of some modules that it is compared with; None for others."""
    inner = [name for name in names if ".conv.0.0." in name]
    if not inner:
        return "none"
    return None if any(".modules_list." in name for name in inner) else "m2a"


def mobilenetv2_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how the published weights took their frames: as for images, spread over the whole video.

    `ops/dataset.py` of TSM's and M2A's code reads frames with PIL; `input_mean` and `input_std` in `ops/models.py` are
    those of ImageNet. TSM's weights for Kinetics, which are `dense`, took 8 frames of 64 in a row.

    Args:
      found: of `mobilenetv2_options`.

    Returns:
      `channel_order`, `mean`, `std` and `sampling`; of Kinetics also `stride`.
    """
    clips: dict[str, Any] = {"channel_order": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "sampling": "segment"}
    if found.get("num_classes") == _KINETICS_CLASSES:
        clips |= {"sampling": "dense", "stride": 8}
    return clips


def mobilenetv2_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights in PyTorch.
      options: every option of the model.

    Returns:
      Sentences.
    """
    if has_own_names(shapes) or not options["temporal_shift"] or _shift(_flat_names(shapes).values()) is not None:
        return []
    return [
        "the weights are called as those of a network without a temporal shift, such as torchvision's: the model, "
        "which has one, is to be trained"
    ]


def mobilenetv2_names(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Renames the weights of a source for a model that has other things before its expansions.

    The `conv.0` of networks for images and of TSN may become that of any model. TSM's `conv.0.net` and the `conv.0.2`
    behind both become that of a model with a temporal shift, and a motion module's `conv.0.1` that of one without.

    Args:
      names: names in the source, of the authors' code or torchvision's.
      wanted: names of the model's weights in the authors' code.

    Returns:
      Name in the source -> name in the model.
    """
    own = {found[2]: found for name in wanted if (found := _EXPANSION.fullmatch(name))}
    return {name: _at_place(flat, own) for name, flat in _flat_names(names).items()}


def _at_place(name: str, own: Mapping[str, re.Match[str]]) -> str:
    """Moves the expansion of a block to its place in the model."""
    found = _EXPANSION.fullmatch(name)
    if found is None or found[2] not in own:
        return name
    place = own[found[2]][3]
    alike = found[3] is None or (found[3] in _SHIFTED) == (place in _SHIFTED)
    return own[found[2]].string if alike else name


def _flat_names(names: Collection[str]) -> dict[str, str]:
    """Gives the weights the names of the TSN class, whichever code they are of."""
    plain = {name: name.removeprefix(_BACKBONE) for name in names}
    expanding = {
        name.removesuffix(".1.0.weight")
        for name in plain.values()
        if re.fullmatch(r"features\.\d+\.conv\.1\.0\.weight", name)
    }
    flat = {}
    for name, own in plain.items():
        nested = _NESTED.fullmatch(own) if expanding else None
        if classifier := _CLASSIFIER.fullmatch(own):
            flat[name] = f"new_fc.{classifier[2]}"
        elif nested and nested[2] in (places := _NESTED_PLACES[nested[1] in expanding]):
            flat[name] = f"{_BACKBONE}{nested[1]}.{places[nested[2]]}.{nested[3]}"
        else:
            flat[name] = f"{_BACKBONE}{own}" if own.startswith("features.") else name
    return flat


MOBILENETV2 = ModelFamily(
    rules=mobilenetv2_rules,
    parts={"head": HEAD, "motion": Part("the motion modules", MOTION_MODULE_WEIGHTS, ("motion_module",))},
    structure=("width", "depths", "last_width"),
    read_options=mobilenetv2_options,
    clips=mobilenetv2_clips,
    notes=mobilenetv2_notes,
    names=mobilenetv2_names,
)
"""MobileNetV2 with temporal shift, with motion modules, and without either, as of images."""
