"""Video Swin's weights: those of torchvision, of the authors' PyTorch code, and of Swin for images.

Sources: torchvision's `models/video/swin_transformer.py`, whose names are the ones that this library exports;
`swin_transformer.py` and `i3d_head.py` of SwinTransformer/Video-Swin-Transformer; `swin_transformer.py` of
microsoft/Swin-Transformer. Weights that cost volumes add to the attention are called as in the EMIM authors' attention.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from motion_vit.interop.families.cost_volumes import COST_VOLUME_OPTIONS, COST_VOLUME_WEIGHTS, cost_volume_rules
from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.imagenet import IMAGENET_MEAN, IMAGENET_STD
from motion_vit.interop.families.layouts import CONVOLUTION
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.slowfast_clips import KINETICS_CLASSES
from motion_vit.interop.families.state_dict_shapes import blocks, known, of_all_stages, size
from motion_vit.interop.files.stored_tensor import Shape, StoredTensor
from motion_vit.models.video_swin import VideoSwin

_SEGMENT_CLASSES = 174
"""Classes of Something-Something."""

_WINDOW_SIDE = 7
"""Rows and columns of the windows of all published networks."""

_FIELDS = {"block": r"\d+", "norm": "[12]"}
_ROOT = Scope()

_AUTHORS_NAMES = (
    (r"layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.", lambda stage, block: f"features.{2 * stage}.{block}.mlp.0."),
    (r"layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.", lambda stage, block: f"features.{2 * stage}.{block}.mlp.3."),
    (r"layers\.(\d+)\.blocks\.(\d+)\.", lambda stage, block: f"features.{2 * stage}.{block}."),
    (r"layers\.(\d+)\.downsample\.", lambda stage: f"features.{2 * stage + 1}."),
    (r"cls_head\.fc_cls\.", lambda: "head."),
)
"""Beginnings of names of the authors, and what they are in torchvision; stages are counted from 0."""

_BACKBONE = "backbone."
"""What the authors put before the names of all but the classifier."""

_LONG = 9
"""Digits of a number that is no stage's or block's; one of millions takes long to read."""

_BESIDE = r".*\.relative_position_index|.*\.attn_mask|.*\.relative_position_bias_table"
"""What a model may lack: numbers and masks that the sizes of windows and clips decide, and the biases of windows in
whose place a block has cost volumes."""


def video_swin_rules(model: VideoSwin) -> tuple[Rule, ...]:
    """Makes the table of a Video Swin, from the path here to the name in torchvision.

    Torchvision numbers stages and mergings in a row. Motion modules in this network are this library's, and so are the
    names of their places.

    Args:
      model: network whose weights are named.
    """
    rules = [
        *_ROOT.layer("embedding/proj", "patch_embed.proj", CONVOLUTION),
        *_ROOT.norm("embedding/norm", "patch_embed.norm"),
    ]
    for stage in range(len(model.depths)):
        block = Scope(f"stage{stage + 1}/block{{block}}/", f"features.{2 * stage}.{{block}}.", _FIELDS)
        rules += block.norm("norm{norm}", "norm{norm}")
        rules += block.layer("attention/qkv", "attn.qkv")
        rules += block.layer("attention/proj", "attn.proj")
        rules.append(block.weight("attention/relative_position_bias", "attn.relative_position_bias_table"))
        rules += cost_volume_rules(block.inner("attention/", "attn."))
        rules += block.layer("mlp/fc1", "mlp.0")
        rules += block.layer("mlp/fc2", "mlp.3")
        rules += motion_module_rules(model.motion_module, block.inner("motion/", "motion."))
        if stage:
            merging = Scope(f"merging{stage + 1}/", f"features.{2 * stage - 1}.")
            rules += merging.norm("norm", "norm")
            rules.append(merging.kernel("reduction", "reduction"))
    return (*rules, *_ROOT.norm("norm", "norm"), *_ROOT.layer("head", "head"))


def video_swin_tensors(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Gives weights the names that torchvision has for them.

    Args:
      tensors: weights of the source by name: torchvision's, the authors', or those of Swin for images.

    Returns:
      Weights by name. Names that mean nothing here stay.
    """
    return {_torchvision_name(name): tensor for name, tensor in tensors.items()}


def _torchvision_name(name: str) -> str:
    inner = name.removeprefix(_BACKBONE)
    for beginning, replacement in _AUTHORS_NAMES:
        if (found := re.match(beginning, inner)) and all(len(number) < _LONG for number in found.groups()):
            return replacement(*map(int, found.groups())) + inner[found.end() :]
    return inner


def video_swin_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.video_swin.VideoSwin` off a state dict.

    Args:
      shapes: names and shapes of the weights in torchvision.

    Returns:
      The options that the weights leave no doubt about. Windows are taken for the published ones of 7 x 7 tokens, where
      their tables can be of such.
    """
    width = size(shapes, "patch_embed.proj.bias")
    numbered = blocks(shapes, r"features\.(\d+)\.") or 0
    stages = (numbered + 1) // 2 if numbered <= _MOST_STAGES else 0
    depths = of_all_stages([blocks(shapes, rf"features\.{2 * stage}\.(\d+)\.") for stage in range(stages)])
    found = {
        "num_classes": size(shapes, "head.weight"),
        "width": width,
        "depths": depths or None,
        "tubelet_frames": size(shapes, "patch_embed.proj.weight", 2),
        "patch_size": size(shapes, "patch_embed.proj.weight", -1),
        **_window_options(shapes, width),
        # Motion modules are the only ones called so; what kind one is, its weights do not always tell.
        "motion_module": None if any(".motion." in name for name in shapes) else "none",
        **_cost_volume_options(shapes, stages),
    }
    return known(found)


_MOST_STAGES = 11
"""Stages and mergings, of six stages."""


def _window_options(shapes: Mapping[str, Shape], width: int | None) -> dict[str, Any]:
    tables = {
        name: shape
        for name, shape in shapes.items()
        if name.endswith("attn.relative_position_bias_table") and len(shape) == 2 and name.startswith("features.")
    }
    if not tables:
        return {}
    name, (displacements, heads) = next(iter(tables.items()))
    stage = name.split(".")[1]
    options: dict[str, Any] = {}
    if width and heads and len(stage) <= 2 and width * 2 ** (int(stage) // 2) % heads == 0:
        options["head_channels"] = width * 2 ** (int(stage) // 2) // heads
    in_time, rest = divmod(displacements, (2 * _WINDOW_SIDE - 1) ** 2)
    # A table without displacements in time is one of images.
    if not rest and in_time % 2 and in_time > 1:
        options["attention_window"] = ((in_time + 1) // 2, _WINDOW_SIDE, _WINDOW_SIDE)
    return options


def _cost_volume_options(shapes: Mapping[str, Shape], stages: int) -> dict[str, Any]:
    """Reads from displacement bias and motion branch where EMIM is, and its window."""
    windows = [shape[-1] for name, shape in shapes.items() if name.endswith("attn.rpb") and shape]
    branches = [
        math.isqrt(shape[-1]) for name, shape in shapes.items() if name.endswith("motion_conv.0.weight") and shape
    ]
    if not windows and not branches:
        return {"placement": "gg"}
    kinds = [
        "".join(
            "l" if any(name.startswith((f"{block}.rpb", f"{block}.motion_conv")) for name in shapes) else "g"
            for block in (f"features.{2 * stage}.{number}.attn" for number in range(2))
            if f"{block}.qkv.weight" in shapes
        )
        for stage in range(stages)
    ]
    return {
        "placement": _placement(kinds),
        "position_bias": bool(windows),
        "motion_branch": bool(branches),
        "window": (windows or branches)[0],
    }


def _placement(kinds: list[str]) -> str | None:
    """Names the placement of stages whose first two blocks are of these kinds; None if there is none."""
    whole = [each for each in kinds if len(each) == 2]
    if whole and all(each == whole[0][: len(each)] for each in kinds):
        return whole[0]
    having = [stage for stage, each in enumerate(kinds, start=1) if "l" in each]
    return f"stage{having[0]}" if len(having) == 1 and kinds[having[0] - 1] in ("lg", "l") else None


def video_swin_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the published weights took their clips, from the number of classes.

    The authors' configurations take 32 frames, one in two, of videos of Kinetics, and one frame in each of equal
    segments of those of Something-Something; all normalise by the pixels of ImageNet, as torchvision does.

    Args:
      found: of `video_swin_options`.

    Returns:
      `channel_order`, `mean`, `std`, and where they are known `sampling` and `stride`.
    """
    clips: dict[str, Any] = {"channel_order": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    if found.get("num_classes") in KINETICS_CLASSES:
        return clips | {"sampling": "dense", "stride": 2}
    return clips | ({"sampling": "segment"} if found.get("num_classes") == _SEGMENT_CLASSES else {})


def attention_window(model: VideoSwin) -> tuple[int, int, int]:
    """Returns frames, rows and columns of the windows of a model.

    Args:
      model: network whose tables of biases are for them.
    """
    return model.attention_window


VIDEO_SWIN = ModelFamily(
    rules=video_swin_rules,
    parts={
        "head": HEAD,
        "motion": Part(
            "the weights that only EMIM and motion modules have",
            rf".*/attention/{COST_VOLUME_WEIGHTS}|{MOTION_MODULE_WEIGHTS}",
            ("placement", "motion_module", *COST_VOLUME_OPTIONS),
        ),
    },
    structure=("width", "depths", "patch_size", "head_channels"),
    read_options=video_swin_options,
    clips=video_swin_clips,
    tensors=video_swin_tensors,
    window=attention_window,
    beside=_BESIDE,
)
"""Video Swin, as of the weights for videos and for images."""
