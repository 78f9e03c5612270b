"""TimeSformer's weights, and those of plain vision transformers, in the authors' PyTorch code.

Source: `VisionTransformer` in `timesformer/models/vit.py` of facebookresearch/TimeSformer; its
released checkpoints put `model.` before its names. Those of transformers are renamed first. The weights that cost
volumes add in the attention over time have no counterpart there: they are called as in the EMIM authors' attention. The
outputs of `qkv` are ordered query/key/value, head, channel in both.
"""

import math
from collections.abc import Mapping
from typing import Any

from motion_vit.interop.families.cost_volumes import COST_VOLUME_OPTIONS, COST_VOLUME_WEIGHTS, cost_volume_rules
from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.layouts import CLASS_TOKEN, EMBEDDING, FRAME_PATCHES
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.slowfast_clips import KINETICS_CLASSES, slowfast_clips
from motion_vit.interop.families.state_dict_shapes import blocks, known, size
from motion_vit.interop.families.timesformer_huggingface import TIMESFORMER_HUGGING_FACE, timesformer_tensors
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.timesformer import TimeSformer

_KINETICS_STRIDES = {8: 32, 16: 16, 96: 4}
"""Frames between sampled ones, by their number: 8x32, 16x16 and 96x4 of `configs/Kinetics`."""

_USUAL_HEAD = 64
"""Channels of a head in ViT-S, -B and -L."""

_FIELDS = {"block": r"\d+", "norm": "[12]", "layer": "[12]"}
_ROOT = Scope(fields=_FIELDS)
_BLOCK = Scope("blocks/block{block}/", "blocks.{block}.", _FIELDS)

RULES: tuple[Rule, ...] = (
    _ROOT.weight("embedding/class_token", "cls_token", CLASS_TOKEN),
    _ROOT.weight("embedding/position_embedding", "pos_embed", EMBEDDING),
    _ROOT.weight("embedding/time_embedding", "time_embed", EMBEDDING),
    *_ROOT.layer("embedding/proj", "patch_embed.proj", FRAME_PATCHES),
    *_BLOCK.norm("norm{norm}", "norm{norm}"),
    *_BLOCK.norm("temporal_norm", "temporal_norm1"),
    *_BLOCK.layer("attention/qkv", "attn.qkv"),
    *_BLOCK.layer("attention/proj", "attn.proj"),
    *_BLOCK.layer("temporal_attention/qkv", "temporal_attn.qkv"),
    *_BLOCK.layer("temporal_attention/proj", "temporal_attn.proj"),
    *_BLOCK.layer("temporal_fc", "temporal_fc"),
    *cost_volume_rules(_BLOCK.inner("temporal_attention/", "temporal_attn.")),
    *_BLOCK.layer("mlp/fc{layer}", "mlp.fc{layer}"),
    *_ROOT.norm("norm", "norm"),
    *_ROOT.layer("head", "head"),
)
"""The names of everything but motion modules, from the path here to the name there."""


def timesformer_rules(model: TimeSformer) -> tuple[Rule, ...]:
    """Makes the table of a TimeSformer.

    Args:
      model: network whose weights are named.
    """
    return (*RULES, *motion_module_rules(model.motion_module, _BLOCK.inner("motion/", "motion.")))


def timesformer_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.timesformer.TimeSformer` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch.

    Returns:
      The options that the weights leave no doubt about; not the number of heads, which no shape depends on. Weights
      without an embedding or norms of time, as those of image models, are "space_only".
    """
    patch_size = size(shapes, "patch_embed.proj.weight", -1)
    positions = size(shapes, "pos_embed", -2)
    found = {
        "num_classes": size(shapes, "head.weight"),
        "width": size(shapes, "norm.weight"),
        "depth": blocks(shapes, r"blocks\.(\d+)\."),
        "patch_size": patch_size,
        "image_size": math.isqrt(positions - 1) * patch_size if positions and patch_size else None,
        "frames": size(shapes, "time_embed", -2),
        "qkv_bias": "blocks.0.attn.qkv.bias" in shapes if "blocks.0.attn.qkv.weight" in shapes else None,
        "attention": _attention(shapes),
        # Motion modules are the only ones called so; what kind one is, its weights do not always tell.
        "motion_module": None if any(".motion." in name for name in shapes) else "none",
        **_cost_volume_options(shapes),
    }
    return known(found)


def _attention(shapes: Mapping[str, Shape]) -> str:
    if any(".temporal_norm1." in name for name in shapes):
        return "divided_space_time"
    return "joint_space_time" if "time_embed" in shapes else "space_only"


def _cost_volume_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads the displacement bias and the motion branch of the attention over time."""
    windows = [shape[-1] for name, shape in shapes.items() if name.endswith("temporal_attn.rpb") and shape]
    branches = [
        math.isqrt(shape[-1]) for name, shape in shapes.items() if name.endswith("motion_conv.0.weight") and shape
    ]
    if not windows and not branches:
        return {"temporal_attention": "global"} if _attention(shapes) == "divided_space_time" else {}
    return {
        "temporal_attention": "cost_volume",
        "position_bias": bool(windows),
        "motion_branch": bool(branches),
        "window": (windows or branches)[0],
    }


def timesformer_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the released weights took their clips, from the numbers of classes and frames.

    `timesformer/datasets/ssv2.py` and `decoder.py` read Something-Something and Kinetics as UniFormer's do. Mean and
    standard deviation are 0.45 and 0.225 in `config/defaults.py`, also of those that start from ImageNet weights.

    Args:
      found: of `timesformer_options`.

    Returns:
      `channel_order`, and where they are known `sampling` and `stride`.
    """
    clips = slowfast_clips(found.get("num_classes"))
    if found.get("num_classes") in KINETICS_CLASSES and found.get("frames") in _KINETICS_STRIDES:
        clips["stride"] = _KINETICS_STRIDES[found["frames"]]
    return clips


def timesformer_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights in PyTorch.
      options: every option of the model.

    Returns:
      Sentences.
    """
    channels = options["width"] // options["heads"]
    if channels == _USUAL_HEAD:
        return []
    return [
        f"weights do not tell the number of heads; the model has {options['heads']} of {channels} channels each, those "
        f"of ViT have {_USUAL_HEAD}"
    ]


TIMESFORMER = ModelFamily(
    rules=timesformer_rules,
    parts={
        "head": HEAD,
        "temporal": Part(
            "the attention over time (as a copy of that within frames)",
            r".*/temporal_(attention|norm|fc)/.*|.*/time_embedding",
            ("attention", "frames", "temporal_attention", *COST_VOLUME_OPTIONS),
            copies=(
                (r"(.*)/temporal_attention/((?:qkv|proj)/.*)", r"\1/attention/\2"),
                (r"(.*)/temporal_norm/(.*)", r"\1/norm1/\2"),
            ),
        ),
        "motion": Part(
            "the weights that only cost volumes and motion modules have",
            rf".*/temporal_attention/{COST_VOLUME_WEIGHTS}|{MOTION_MODULE_WEIGHTS}",
            ("temporal_attention", "motion_module", *COST_VOLUME_OPTIONS),
        ),
    },
    structure=("width", "depth", "patch_size"),
    read_options=timesformer_options,
    clips=timesformer_clips,
    notes=timesformer_notes,
    tensors=timesformer_tensors,
    huggingface=TIMESFORMER_HUGGING_FACE,
)
"""TimeSformer in all its schemes of attention, and the transformers of images that it starts from."""
