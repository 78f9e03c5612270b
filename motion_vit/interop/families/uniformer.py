"""UniFormer's weights in the authors' PyTorch code, with and without EMIM.

Sources: `slowfast/models/uniformer.py` of Sense-X/UniFormer and of PeiqinZhuang/EMIM. The outputs of `qkv` are ordered
query/key/value, head, channel in both.
"""

import math
from collections.abc import Mapping
from typing import Any

from motion_vit.interop.families.cost_volumes import COST_VOLUME_OPTIONS, COST_VOLUME_WEIGHTS, cost_volume_rules
from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.layouts import CONVOLUTION, DEPTHWISE, POINTWISE
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.slowfast_clips import slowfast_clips
from motion_vit.interop.families.state_dict_shapes import blocks, known, of_all_stages, size
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.uniformer import UniFormer

_FIELDS = {
    "stage": "[1-4]",
    "convolution_stage": "[12]",
    "attention_stage": "[34]",
    "block": r"\d+",
    "norm": "[12]",
    "layer": "[12]",
}
_ROOT = Scope(fields=_FIELDS)
_BLOCK = Scope("stage{stage}/block{block}/", "blocks{stage}.{block}.", _FIELDS)
_CONVOLUTION_BLOCK = Scope("stage{convolution_stage}/block{block}/", "blocks{convolution_stage}.{block}.", _FIELDS)
_ATTENTION_BLOCK = Scope("stage{attention_stage}/block{block}/", "blocks{attention_stage}.{block}.", _FIELDS)

RULES: tuple[Rule, ...] = (
    *_ROOT.layer("patch_embed{stage}/proj", "patch_embed{stage}.proj", CONVOLUTION),
    *_ROOT.norm("patch_embed{stage}/norm", "patch_embed{stage}.norm"),
    *_BLOCK.layer("position", "pos_embed", DEPTHWISE),
    *_BLOCK.norm("norm{norm}", "norm{norm}"),
    *_CONVOLUTION_BLOCK.statistics("norm{norm}", "norm{norm}"),
    *_CONVOLUTION_BLOCK.layer("conv{layer}", "conv{layer}", POINTWISE),
    *_CONVOLUTION_BLOCK.layer("depthwise", "attn", DEPTHWISE),
    *_CONVOLUTION_BLOCK.layer("mlp/fc{layer}", "mlp.fc{layer}", POINTWISE),
    *_ATTENTION_BLOCK.layer("mlp/fc{layer}", "mlp.fc{layer}"),
    *_ATTENTION_BLOCK.layer("attention/qkv", "attn.qkv"),
    *_ATTENTION_BLOCK.layer("attention/proj", "attn.proj"),
    *cost_volume_rules(_ATTENTION_BLOCK.inner("attention/", "attn.")),
    _ATTENTION_BLOCK.weight("layer_scale{layer}", "gamma_{layer}"),
    *_ROOT.batch_norm("norm", "norm"),
    *_ROOT.layer("head", "head"),
)
"""The names of everything but motion modules, from the path here to the name there."""


def uniformer_rules(model: UniFormer) -> tuple[Rule, ...]:
    """Makes the table of a UniFormer.

    Motion modules in UniFormer are this library's, and so are the names of their places.

    Args:
      model: network whose weights are named.
    """
    return (*RULES, *motion_module_rules(model.motion_module, _BLOCK.inner("motion/", "motion.")))


def uniformer_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.uniformer.UniFormer` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch, of clips or of images.

    Returns:
      The options that the weights leave no doubt about. Of weights without EMIM, `placement` is "gg"; of those
      with layer scale, `layer_scale` is a number.
    """
    found = {
        "num_classes": size(shapes, "head.weight"),
        "widths": of_all_stages([size(shapes, f"patch_embed{stage}.norm.weight") for stage in range(1, 5)]),
        "depths": of_all_stages([blocks(shapes, rf"blocks{stage}\.(\d+)\.") for stage in range(1, 5)]),
        "patch_sizes": of_all_stages([size(shapes, f"patch_embed{stage}.proj.weight", -1) for stage in range(1, 5)]),
        # Motion modules are the only ones called so; what kind one is, its weights do not always tell.
        "motion_module": None if any(".motion." in name for name in shapes) else "none",
        **_emim_options(shapes),
    }
    # None is what this option is called without layer scale, and no lack of knowledge.
    return {**known(found), "layer_scale": 1.0 if any(name.endswith(".gamma_1") for name in shapes) else None}


def _emim_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads from displacement bias and motion branch where EMIM is, and its window and heads."""
    placement = _placement(shapes)
    if placement == "gg":
        return {"placement": placement}
    biases = {name: shape for name, shape in shapes.items() if name.endswith("attn.rpb") and len(shape) == 3}
    branches = [shape for name, shape in shapes.items() if name.endswith("attn.motion_conv.0.weight")]
    options: dict[str, Any] = {"placement": placement, "position_bias": bool(biases), "motion_branch": bool(branches)}
    for name, (heads, window, _) in biases.items():
        channels = size(shapes, name.replace("rpb", "proj.bias"))
        options |= {"window": window, "head_channels": channels // heads if channels and heads else None}
        return options
    for shape in branches:
        options["window"] = math.isqrt(shape[-1]) if shape else None
    return options


def _placement(shapes: Mapping[str, Shape]) -> str | None:
    """Returns one of `Placement`: which of the first two blocks of stages 3 and 4 have EMIM ("l"), which not ("g")."""
    third, fourth = (
        "".join(
            "l" if any(name.startswith((f"{block}.attn.rpb", f"{block}.attn.motion_conv")) for name in shapes) else "g"
            for block in (f"blocks{stage}.0", f"blocks{stage}.1")
            if f"{block}.norm1.weight" in shapes
        )
        for stage in (3, 4)
    )
    if third == fourth:
        return third if len(third) == 2 else None
    if fourth.startswith("l") != third.startswith("l"):
        return "stage3" if fourth == "gg" else "stage4" if third == "gg" else None
    return max(third, fourth, key=len)


def uniformer_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the released weights took their clips, from the number of classes.

    `slowfast/datasets/sth.py`, which both UniFormer and EMIM train on Something-Something with, leaves
    `REVERSE_INPUT_CHANNEL` at False; `slowfast/datasets/decoder.py`, used for Kinetics, decodes with PyAV and
    `to_rgb()`.

    Args:
      found: of `uniformer_options`.

    Returns:
      `channel_order`, and where it is known `sampling`.
    """
    return slowfast_clips(found.get("num_classes"))


def uniformer_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights in PyTorch.
      options: every option of the model.

    Returns:
      Sentences.
    """
    stem = shapes.get("patch_embed1.proj.weight", ())
    if len(stem) == 5 and _placement(shapes) == "gg" and options["stem_temporal_stride"] == 1:
        return [
            "weights without EMIM: the published UniFormer halves the frames in its stem, which stem_temporal_stride=2 "
            "does, too; this model keeps them all, as EMIM does when it starts from such weights"
        ]
    return []


UNIFORMER = ModelFamily(
    rules=uniformer_rules,
    parts={
        "head": HEAD,
        "motion": Part(
            "the weights that only EMIM and motion modules have",
            rf".*/attention/{COST_VOLUME_WEIGHTS}|{MOTION_MODULE_WEIGHTS}",
            ("placement", "head_channels", "motion_module", *COST_VOLUME_OPTIONS),
        ),
    },
    structure=("widths", "depths", "patch_sizes"),
    read_options=uniformer_options,
    clips=uniformer_clips,
    notes=uniformer_notes,
)
"""UniFormer and UniFormer with EMIM."""
