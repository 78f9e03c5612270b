"""The weights of R3D, MC3 and R(2+1)D in torchvision, and those of I3D-ResNet-18 in M2A's code.

Sources: torchvision's `models/video/resnet.py`; `archs/i3d_resnet.py` of gebob19/M2A, after `i3d_resnet` of
IBM/action-recognition-pytorch, which calls everything as a ResNet for images does. M2A makes the first convolution of
a block a sequence, `conv1.0.m2a` and `conv1.1`.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.imagenet import IMAGENET_MEAN, IMAGENET_STD
from motion_vit.interop.families.layouts import CONVOLUTION, CONVOLUTION_OF_FRAMES
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.slowfast_clips import KINETICS_CLASSES
from motion_vit.interop.families.state_dict_shapes import blocks, first_size, known, of_all_stages, size
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.video_resnet import VideoResNet

_FIRST_CONVOLUTION = re.compile(r"(layer\d+\.\d+\.conv1)(\.1)?\.weight")
"""The first convolution of a block of I3D; behind its name what M2A puts there."""

_TORCHVISION_MEAN = (0.43216, 0.394666, 0.37645)
_TORCHVISION_STD = (0.22803, 0.22145, 0.216989)
"""The pixels of Kinetics-400, by which torchvision's networks normalise theirs."""

_FIELDS = {"block": r"\d+", "layer": "[12]"}


def video_resnet_rules(model: VideoResNet) -> tuple[Rule, ...]:
    """Makes the table of a video ResNet, from the path here to the name in PyTorch.

    A network of 3D convolutions whose stem pools has M2A's names, others have torchvision's. In the latter the places
    of motion modules have names of this library.

    Args:
      model: network whose weights are named.

    Returns:
      Rules for all its weights and running statistics.
    """
    as_i3d = model.max_pool and model.convolutions == "3d"
    rules = [*_I3D_STEM] if as_i3d else _stem_rules(model)
    for stage in range(1, 5):
        block = Scope(f"stage{stage}/block{{block}}/", f"layer{stage}.{{block}}.", _FIELDS)
        rules += _i3d_block_rules(model, block) if as_i3d else _block_rules(model, stage, block)
        rules.append(block.kernel("shortcut_conv", "downsample.0", CONVOLUTION_OF_FRAMES))
        rules += block.batch_norm("shortcut_norm", "downsample.1")
    return (*rules, *Scope().layer("head", "fc"))


_I3D_STEM = (Scope().kernel("stem/conv", "conv1", CONVOLUTION), *Scope().batch_norm("stem/norm", "bn1"))


def _i3d_block_rules(model: VideoResNet, block: Scope) -> list[Rule]:
    """Makes the rules of the branches of all blocks of a stage, by M2A's names."""
    rules = [*block.batch_norm("norm{layer}", "bn{layer}")]
    if model.motion_module != "none":
        rules.append(block.kernel("conv1", "conv1.1", CONVOLUTION))
        rules += motion_module_rules(model.motion_module, block.inner("motion/", "conv1.0.m2a."))
    return [*rules, block.kernel("conv{layer}", "conv{layer}", CONVOLUTION)]


def _stem_rules(model: VideoResNet) -> list[Rule]:
    """Makes the rules of the stem, by torchvision's names."""
    stem = Scope("stem/", "stem.")
    if model.convolutions != "2plus1d":
        return [stem.kernel("conv", "0", CONVOLUTION), *stem.batch_norm("norm", "1")]
    return [
        stem.kernel("conv/spatial", "0", CONVOLUTION_OF_FRAMES),
        *stem.batch_norm("conv/norm", "1"),
        stem.kernel("conv/temporal", "3", CONVOLUTION),
        *stem.batch_norm("norm", "4"),
    ]


def _block_rules(model: VideoResNet, stage: int, block: Scope) -> list[Rule]:
    """Makes the rules of the branches of all blocks of a stage, by torchvision's names."""
    rules = [*block.batch_norm("norm{layer}", "conv{layer}.1")]
    if model.convolutions == "2plus1d":
        rules.append(block.kernel("conv{layer}/spatial", "conv{layer}.0.0", CONVOLUTION_OF_FRAMES))
        rules += block.batch_norm("conv{layer}/norm", "conv{layer}.0.1")
        rules.append(block.kernel("conv{layer}/temporal", "conv{layer}.0.3", CONVOLUTION))
    else:
        layout = CONVOLUTION if model.spans_frames(stage) else CONVOLUTION_OF_FRAMES
        rules.append(block.kernel("conv{layer}", "conv{layer}.0", layout))
    if model.motion_module != "none":
        rules += motion_module_rules(model.motion_module, block.inner("motion/", "motion."))
    return rules


def video_resnet_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.video_resnet.VideoResNet` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch; also those of a ResNet for images, which I3D starts from.

    Returns:
      The options that the weights leave no doubt about; not `temporal_stride`, which no shape depends on.
    """
    is_i3d, is_torchvision = "conv1.weight" in shapes, "stem.0.weight" in shapes
    found: dict[str, Any] = {
        "num_classes": first_size(shapes, ("fc.weight",)),
        "widths": of_all_stages([_width(shapes, stage) for stage in range(1, 5)]),
        "depths": of_all_stages([blocks(shapes, rf"layer{stage}\.(\d+)\.") for stage in range(1, 5)]),
    }
    if is_i3d:
        inner = [name for name in shapes if ".conv1.0.m2a." in name]
        m2a = None if any(".modules_list." in name for name in inner) else "m2a"
        found |= {"convolutions": "3d", "max_pool": True, "motion_module": m2a if inner else "none"}
    elif is_torchvision:
        mixed = size(shapes, "layer2.0.conv1.0.weight", 2) == 1
        found["convolutions"] = "2plus1d" if "stem.3.weight" in shapes else "mixed" if mixed else "3d"
        found["motion_module"] = None if any(".motion." in name for name in shapes) else "none"
        # Of these convolutions, M2A's names would be those of a stem that pools.
        found["max_pool"] = False if found["convolutions"] == "3d" else None
    return known(found)


def _width(shapes: Mapping[str, Shape], stage: int) -> int | None:
    """Reads the channels of a stage off its first block, in any of the naming schemes."""
    return first_size(shapes, [f"layer{stage}.0.{name}.weight" for name in ("bn2", "conv2.1")])


def video_resnet_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how published weights took their clips: torchvision's 15 frames a second, M2A's one of each segment.

    Args:
      found: of `video_resnet_options`.

    Returns:
      `channel_order`, `mean`, `std`, and where they are known `sampling`, `stride` and `fps`.
    """
    if found.get("max_pool"):
        return {"channel_order": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "sampling": "segment"}
    clips: dict[str, Any] = {"channel_order": "rgb", "mean": _TORCHVISION_MEAN, "std": _TORCHVISION_STD}
    if found.get("num_classes") in KINETICS_CLASSES:
        clips |= {"sampling": "dense", "stride": 1, "fps": 15.0}
    return clips


def video_resnet_names(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Renames the first convolutions of I3D's blocks for a model that has something, or nothing, before them.

    Args:
      names: names in the source.
      wanted: names of the model's weights in PyTorch.

    Returns:
      Name in the source -> name in the model; itself where nothing else is known.
    """
    own = {found[1]: name for name in wanted if (found := _FIRST_CONVOLUTION.fullmatch(name))}
    # In torchvision's names, conv1.1 is a normalisation, and conv1.0 the convolution.
    if "conv1.weight" not in wanted:
        return {name: name for name in names}
    return {name: own.get(found[1], name) if (found := _FIRST_CONVOLUTION.fullmatch(name)) else name for name in names}


VIDEO_RESNET = ModelFamily(
    rules=video_resnet_rules,
    parts={"head": HEAD, "motion": Part("the motion modules", MOTION_MODULE_WEIGHTS, ("motion_module",))},
    structure=("widths", "depths", "convolutions", "max_pool"),
    read_options=video_resnet_options,
    clips=video_resnet_clips,
    names=video_resnet_names,
)
"""R3D, MC3, R(2+1)D and I3D-ResNet-18, as of the weights for videos."""
