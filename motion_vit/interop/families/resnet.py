"""ResNet's weights in torchvision, TSN, TSM and M2A, which wrap its first convolutions.

Sources: torchvision's `resnet.py`; `make_temporal_shift` in `ops/temporal_shift.py` of gebob19/M2A. TSM wraps `conv1`
of a block as `conv1.net`; a motion module makes it a sequence: itself, TSM's shift where that is on, the convolution.
"""

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.imagenet import IMAGENET_MEAN, IMAGENET_STD
from motion_vit.interop.families.layouts import FRAME_CONVOLUTION
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.state_dict_shapes import blocks, first_size, has_own_names, known, of_all_stages
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.resnet import ResNet

_FIRST_CONVOLUTION = re.compile(r"(layer\d+\.\d+\.conv1)(\.net|\.[12])?\.weight")
"""The first convolution of a block; behind its name what TSM, M2A and both put there."""

_SHIFTED = (".net", ".2")
_CLASSIFIER_BESIDE = "new_fc."
"""What the TSN class of TSM's and M2A's code calls its classifier, where there is dropout before it."""

_FIELDS = {"stage": "[1-4]", "block": r"\d+", "layer": "[1-3]"}
_ROOT = Scope(fields=_FIELDS)
_BLOCK = Scope("stage{stage}/block{block}/", "layer{stage}.{block}.", _FIELDS)


def resnet_rules(model: ResNet) -> tuple[Rule, ...]:
    """Makes the table of a ResNet, from the path here to the name there; it depends on the model's options.

    Args:
      model: network whose weights are named.

    Returns:
      Rules for all its weights and running statistics.
    """
    # Before the rule of all first convolutions, that of the blocks that mix frames.
    mixing = dataclasses.replace(_BLOCK, fields=_FIELDS | {"block": _mixing_blocks(model)})
    motion: tuple[Rule, ...] = ()
    if model.motion_module != "none":
        motion = motion_module_rules(model.motion_module, _BLOCK.inner("motion/", "conv1.0."))
    return (
        _ROOT.kernel("stem/conv", "conv1", FRAME_CONVOLUTION),
        *_ROOT.batch_norm("stem/norm", "bn1"),
        mixing.kernel("conv1", _first_convolution(model), FRAME_CONVOLUTION),
        *motion,
        _BLOCK.kernel("conv{layer}", "conv{layer}", FRAME_CONVOLUTION),
        *_BLOCK.batch_norm("norm{layer}", "bn{layer}"),
        _BLOCK.kernel("shortcut_conv", "downsample.0", FRAME_CONVOLUTION),
        *_BLOCK.batch_norm("shortcut_norm", "downsample.1"),
        *_ROOT.layer("head", "fc"),
    )


def _mixing_blocks(model: ResNet) -> str:
    """Gives a pattern of the numbers of the blocks that have the motion module and the shift."""
    return r"\d+" if model.mixes_frames(1) else r"\d*[02468]"


def _first_convolution(model: ResNet) -> str:
    """Names the first convolution of a block that mixes frames."""
    if model.motion_module != "none":
        return "conv1.2" if model.temporal_shift else "conv1.1"
    return "conv1.net" if model.temporal_shift else "conv1"


def resnet_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.resnet.ResNet` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch.

    Returns:
      The options that the weights leave no doubt about: `temporal_shift` only where it is on or M2A is there, because
      TSN's weights are called as torchvision's, which any model may start from.
    """
    found: dict[str, Any] = {
        "num_classes": first_size(shapes, ("fc.weight", f"{_CLASSIFIER_BESIDE}weight")),
        "widths": of_all_stages([first_size(shapes, _first_of(stage)) for stage in range(1, 5)]),
        "depths": of_all_stages([blocks(shapes, rf"layer{stage}\.(\d+)\.") for stage in range(1, 5)]),
        "temporal_shift": _shift(shapes),
    }
    if any(name.startswith("layer1.") for name in shapes):
        found["bottleneck"] = any(name.endswith(".conv3.weight") for name in shapes)
        found["motion_module"] = _motion_module(shapes)
    return known(found)


def _first_of(stage: int) -> list[str]:
    return [f"layer{stage}.0.conv1{place}.weight" for place in ("", ".net", ".1", ".2")]


def _shift(shapes: Mapping[str, Shape]) -> bool | None:
    """Tells if a temporal shift stands before the convolutions; None if their names do not tell."""
    places = {found[2] for name in shapes if (found := _FIRST_CONVOLUTION.fullmatch(name)) and found[2]}
    return any(place in _SHIFTED for place in places) if places else None


def _motion_module(shapes: Mapping[str, Shape]) -> str | None:
    """Returns "none" or "m2a", which has the weights of some modules that it is compared with; None for others."""
    inner = [name for name in shapes if ".conv1.0." in name]
    if not inner:
        return "none"
    return None if any(".modules_list." in name for name in inner) else "m2a"


def resnet_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how the published weights took their frames: as torchvision's, spread over the whole video.

    `ops/dataset.py` of TSM's and M2A's code reads frames with PIL, in one place of each of equal segments;
    `input_mean` and `input_std` in `ops/models.py` are those of ImageNet. (TSM's weights for Kinetics whose names end
    in `_dense` took them from a part of the video: `--sampling dense`.)

    Args:
      found: of `resnet_options`; without effect.

    Returns:
      `channel_order`, `mean`, `std` and `sampling`.
    """
    return {"channel_order": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "sampling": "segment"}


def resnet_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights in PyTorch.
      options: every option of the model.

    Returns:
      Sentences.
    """
    if _shift(shapes) is None and options["temporal_shift"] and not has_own_names(shapes):
        return [
            "the weights are called as those of a network without a temporal shift, such as torchvision's: the model, "
            "which has one, is to be trained"
        ]
    return []


def resnet_names(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Renames the weights of a source for a model that has other things before its first convolutions.

    torchvision's and TSN's `conv1` may become that of any model; TSM's `conv1.net`, M2A's `conv1.1` and the `conv1.2`
    of both become that of a model that has a temporal shift if, and only if, they have one.

    Args:
      names: names in the source.
      wanted: names of the model's weights in PyTorch.

    Returns:
      Name in the source -> name in the model; itself where nothing else is known.
    """
    own = {found[1]: name for name in wanted if (found := _FIRST_CONVOLUTION.fullmatch(name))}
    return {name: _name_in_model(name, own) for name in names}


def _name_in_model(name: str, own: Mapping[str, str]) -> str:
    if name.startswith(_CLASSIFIER_BESIDE):
        return name.replace(_CLASSIFIER_BESIDE, "fc.")
    found = _FIRST_CONVOLUTION.fullmatch(name)
    if found is None or found[1] not in own:
        return name
    place = _FIRST_CONVOLUTION.fullmatch(own[found[1]])
    assert place is not None
    alike = found[2] is None or (found[2] in _SHIFTED) == (place[2] in _SHIFTED)
    return own[found[1]] if alike else name


RESNET = ModelFamily(
    rules=resnet_rules,
    parts={"head": HEAD, "motion": Part("the motion modules", MOTION_MODULE_WEIGHTS, ("motion_module",))},
    structure=("widths", "depths", "bottleneck"),
    read_options=resnet_options,
    clips=resnet_clips,
    notes=resnet_notes,
    names=resnet_names,
)
"""ResNet with temporal shift, with M2A, and without either, as of images."""
