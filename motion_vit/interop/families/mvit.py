"""MViTv2's weights: those of torchvision, and of the SlowFast repository by other names.

Sources: `torchvision.models.video.mvit_v2_s`, whose names and layouts are the ones that this library exports;
`slowfast/models/video_model_builder.py` and `attention.py` of facebookresearch/SlowFast, whose released files hold the
same arrays, the class token with two axes more.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.layouts import CONVOLUTION, DEPTHWISE
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.slowfast_clips import KINETICS_CLASSES, slowfast_clips
from motion_vit.interop.families.state_dict_shapes import blocks, has_own_names, known, size
from motion_vit.interop.files.stored_tensor import Shape, StoredTensor
from motion_vit.models.mvit import MViT

_KINETICS_STRIDES = {16: 4, 32: 3, 40: 3}
"""Distance of the frames of clips by their number, of the networks for Kinetics (`configs/Kinetics`)."""

_FIELDS = {"block": r"\d+", "norm": "[12]"}
_ROOT = Scope(fields=_FIELDS)
_BLOCK = Scope("blocks/block{block}/", "blocks.{block}.", _FIELDS)
_PARTS = (("query", "q"), ("key", "k"), ("value", "v"))
_AXES = (("frames", "t"), ("rows", "h"), ("columns", "w"))

RULES: tuple[Rule, ...] = (
    *_ROOT.layer("stem", "conv_proj", CONVOLUTION),
    _ROOT.weight("class_token", "pos_encoding.class_token"),
    *_BLOCK.norm("norm{norm}", "norm{norm}"),
    *_BLOCK.layer("attention/qkv", "attn.qkv"),
    *(
        _BLOCK.kernel(f"attention/{part}_pool/depthwise", f"attn.pool_{short}.pool", DEPTHWISE)
        for part, short in _PARTS
    ),
    *(
        rule
        for part, short in _PARTS
        for rule in _BLOCK.norm(f"attention/{part}_pool/norm", f"attn.pool_{short}.norm_act.0")
    ),
    *(_BLOCK.weight(f"attention/positions/{axis}", f"attn.rel_pos_{short}") for axis, short in _AXES),
    *_BLOCK.layer("attention/proj", "attn.project.0"),
    *_BLOCK.layer("shortcut", "project"),
    *_BLOCK.layer("mlp/fc1", "mlp.0"),
    *_BLOCK.layer("mlp/fc2", "mlp.3"),
    *_ROOT.norm("norm", "norm"),
    *_ROOT.layer("head", "head.1"),
)
"""The names of everything but motion modules, from the path here to the name there."""

_REPOSITORY_CLASS_TOKEN = "cls_token"
_REPOSITORY_NAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"patch_embed\.proj\.(.*)", r"conv_proj.\1"),
        (_REPOSITORY_CLASS_TOKEN, r"pos_encoding.class_token"),
        (r"(blocks\.\d+\.attn)\.proj\.(.*)", r"\1.project.0.\2"),
        (r"(blocks\.\d+\.attn)\.pool_([qkv])\.(weight)", r"\1.pool_\2.pool.\3"),
        (r"(blocks\.\d+\.attn)\.norm_([qkv])\.(.*)", r"\1.pool_\2.norm_act.0.\3"),
        (r"(blocks\.\d+\.mlp)\.fc1\.(.*)", r"\1.0.\2"),
        (r"(blocks\.\d+\.mlp)\.fc2\.(.*)", r"\1.3.\2"),
        (r"(blocks\.\d+)\.proj\.(.*)", r"\1.project.\2"),
        (r"head\.projection\.(.*)", r"head.1.\1"),
    )
)
"""Names of the SlowFast repository, and those of torchvision in their place."""


def mvit_rules(model: MViT) -> tuple[Rule, ...]:
    """Makes the table of an MViT.

    Args:
      model: network whose weights are named.
    """
    return (*RULES, *motion_module_rules(model.motion_module, _BLOCK.inner("motion/", "motion.")))


def mvit_tensors(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Gives weights the names that torchvision has for them, and the class token its shape.

    Args:
      tensors: weights of the source by name.

    Returns:
      Weights by name; those of other names keep them.
    """
    return {
        _of_torchvision(name): _as_vector(tensor) if name == _REPOSITORY_CLASS_TOKEN else tensor
        for name, tensor in tensors.items()
    }


def _of_torchvision(name: str) -> str:
    for pattern, replacement in _REPOSITORY_NAMES:
        if found := pattern.fullmatch(name):
            return found.expand(replacement)
    return name


def _as_vector(token: StoredTensor) -> StoredTensor:
    """Takes leading axes of length 1 away, without reading; leaves weights of other shapes alone."""
    if token.shape[:-1] != (1, 1):
        return token

    def read() -> np.ndarray:
        return token.read().reshape(-1)

    return StoredTensor(token.shape[-1:], token.dtype, read)


def mvit_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.mvit.MViT` off a state dict.

    Args:
      shapes: names and shapes of the weights in torchvision.

    Returns:
      The options that the weights leave no doubt about; not the stride of keys, which no shape tells for sure.
    """
    width = size(shapes, "pos_encoding.class_token")
    of_head = size(shapes, "blocks.0.attn.pool_q.pool.weight")
    depth = blocks(shapes, r"blocks\.(\d+)\.")
    times, rows = (size(shapes, f"blocks.0.attn.rel_pos_{axis}") for axis in "th")
    found = {
        "num_classes": size(shapes, "head.1.weight"),
        "width": width,
        "heads": width // of_head if width and of_head else None,
        "depths": _depths(shapes, depth) if depth else None,
        "frames": times + 1 if times else None,
        "image_size": 2 * (rows + 1) if rows else None,
        # Motion modules are the only ones called so; what kind one is, its weights do not always tell.
        "motion_module": None if any(".motion." in name for name in shapes) else "none",
    }
    return known(found)


def _depths(shapes: Mapping[str, Shape], depth: int) -> tuple[int, ...]:
    """Counts the blocks of stages, of which all but the first begin with a projection to a greater width."""
    begins = sorted(
        {int(found[1]) for name in shapes if (found := re.fullmatch(r"blocks\.(\d{1,9})\.project\.weight", name))}
    )
    return tuple(end - start for start, end in zip((0, *begins), (*begins, depth), strict=True))


def mvit_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the released weights took their clips, from the numbers of classes and frames.

    The released settings turn frames of Something-Something into red, green, blue.

    Args:
      found: of `mvit_options`.

    Returns:
      `channel_order`, and where they are known `sampling` and `stride`.
    """
    clips = slowfast_clips(found.get("num_classes")) | {"channel_order": "rgb"}
    if found.get("num_classes") in KINETICS_CLASSES and found.get("frames") in _KINETICS_STRIDES:
        clips["stride"] = _KINETICS_STRIDES[found["frames"]]
    return clips


def mvit_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights in torchvision.
      options: every option of the model.

    Returns:
      Sentences.
    """
    if has_own_names(shapes):
        return []
    return [f"weights do not tell the stride of keys (published: 8); the model has key_stride={options['key_stride']}"]


MVIT = ModelFamily(
    rules=mvit_rules,
    parts={"head": HEAD, "motion": Part("the motion modules", MOTION_MODULE_WEIGHTS, ("motion_module",))},
    structure=("width", "depths", "heads"),
    read_options=mvit_options,
    clips=mvit_clips,
    notes=mvit_notes,
    tensors=mvit_tensors,
)
"""MViTv2 of torchvision and of the SlowFast repository."""
