"""What UniFormer weights tell about the model they are of, and about the clips it was trained on."""

import math
import re
from collections.abc import Mapping
from typing import Any

from motion_vit.interop.stored_tensor import Shape

_SOMETHING_SOMETHING_CLASSES = 174
_KINETICS_CLASSES = (400, 600, 700)


def uniformer_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.uniformer.UniFormer` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch, of clips or of images.

    Returns:
      The options that the weights leave no doubt about. Of weights without EMIM, `placement` is "gg"; of those
      with layer scale, `layer_scale` is a number. In the names of this library only `num_classes` is looked for.
    """
    if "params/head/bias" in shapes:
        classes = _size(shapes, "params/head/bias", 0)
        return {} if classes is None else {"num_classes": classes}
    found = {
        "num_classes": _size(shapes, "head.weight", 0),
        "widths": _of_stages([_size(shapes, f"patch_embed{stage}.norm.weight", 0) for stage in range(1, 5)]),
        "depths": _of_stages([_depth(shapes, stage) for stage in range(1, 5)]),
        "patch_sizes": _of_stages([_size(shapes, f"patch_embed{stage}.proj.weight", -1) for stage in range(1, 5)]),
        # Motion modules are the only ones called so; what kind one is, its weights do not always tell.
        "motion_module": None if any(".motion." in name for name in shapes) else "none",
        **_emim_options(shapes),
    }
    found["layer_scale"] = 1.0 if any(name.endswith(".gamma_1") for name in shapes) else None
    return {name: value for name, value in found.items() if value is not None or name == "layer_scale"}


def _size(shapes: Mapping[str, Shape], name: str, axis: int) -> int | None:
    return shapes[name][axis] if shapes.get(name) else None


def _of_stages(values: list[int | None]) -> tuple[int | None, ...] | None:
    return None if None in values else tuple(values)


def _depth(shapes: Mapping[str, Shape], stage: int) -> int | None:
    blocks = [re.match(rf"blocks{stage}\.(\d+)\.", name) for name in shapes]
    return max((int(found[1]) + 1 for found in blocks if found), default=None)


def _emim_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """What the displacement bias and the motion branch tell: where EMIM is, and its window and heads."""
    placement = _placement(shapes)
    if placement == "gg":
        return {"placement": placement}
    biases = {name: shape for name, shape in shapes.items() if name.endswith("attn.rpb") and len(shape) == 3}
    branches = [shape for name, shape in shapes.items() if name.endswith("attn.motion_conv.0.weight")]
    options: dict[str, Any] = {"placement": placement, "position_bias": bool(biases), "motion_branch": bool(branches)}
    for name, (heads, window, _) in biases.items():
        channels = _size(shapes, name.replace("rpb", "proj.bias"), 0)
        options |= {"window": window, "head_channels": channels // heads if channels and heads else None}
        return options
    for shape in branches:
        options["window"] = math.isqrt(shape[-1]) if shape else None
    return options


def _placement(shapes: Mapping[str, Shape]) -> str | None:
    """One of `Placement`, from which of the first two blocks of stages 3 and 4 have EMIM ("l") and which not ("g")."""
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
    """How the released weights took their clips, which the number of classes tells.

    `slowfast/datasets/sth.py`, which both UniFormer and EMIM train on Something-Something with, reads frames with
    OpenCV, and so as blue, green, red; `REVERSE_INPUT_CHANNEL` is left at False, so that nothing turns them.
    `slowfast/datasets/decoder.py`, used for Kinetics, decodes with PyAV and `to_rgb()`; ImageNet is read with PIL.

    Args:
      found: of `uniformer_options`.

    Returns:
      `channel_order`, and where it is known `sampling`.
    """
    if found.get("num_classes") == _SOMETHING_SOMETHING_CLASSES:
        return {"channel_order": "bgr", "sampling": "segment"}
    return {"channel_order": "rgb"} | ({"sampling": "dense"} if found.get("num_classes") in _KINETICS_CLASSES else {})


def uniformer_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """What to know about weights in a model that their shapes do not tell apart from others.

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
