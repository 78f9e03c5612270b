"""What TimeSformer weights, and those of plain vision transformers, tell about the model they are of and its clips."""

import math
from collections.abc import Mapping
from typing import Any

from motion_vit.interop.families.state_dict_shapes import blocks, known, size
from motion_vit.interop.files.stored_tensor import Shape

_SOMETHING_SOMETHING_CLASSES = 174
_KINETICS_CLASSES = (400, 600, 700)
_KINETICS_STRIDES = {8: 32, 16: 16, 96: 4}
"""Frames between sampled ones, by their number: 8x32, 16x16 and 96x4 of `configs/Kinetics`."""

_USUAL_HEAD = 64
"""Channels of a head in ViT-S, -B and -L."""


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
    """What the displacement bias and the motion branch of the attention over time tell."""
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
    """How the released weights took their clips, which the numbers of classes and frames tell.

    As UniFormer's, TimeSformer's `timesformer/datasets/ssv2.py` reads frames with OpenCV and leaves blue, green and red
    in this order; `decoder.py`, used for Kinetics, gives red, green and blue. Mean and standard deviation are 0.45 and
    0.225 in `config/defaults.py`, also of those that start from ImageNet weights.

    Args:
      found: of `timesformer_options`.

    Returns:
      `channel_order`, and where they are known `sampling` and `stride`.
    """
    if found.get("num_classes") == _SOMETHING_SOMETHING_CLASSES:
        return {"channel_order": "bgr", "sampling": "segment"}
    clips: dict[str, Any] = {"channel_order": "rgb"}
    if found.get("num_classes") in _KINETICS_CLASSES:
        clips["sampling"] = "dense"
        if found.get("frames") in _KINETICS_STRIDES:
            clips["stride"] = _KINETICS_STRIDES[found["frames"]]
    return clips


def timesformer_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """What to know about weights in a model that their shapes do not tell apart from others.

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
