"""The weights of X3D in PyTorchVideo, and those of the SlowFast repository by other names.

Sources: `create_x3d` of facebookresearch/pytorchvideo; `X3D` in `models/video_model_builder.py`, `X3DTransform` and
`X3DHead` of facebookresearch/SlowFast. Both have released files. Their networks differ in one BatchNorm, of the first
block's shortcut, and so a model is called by the names of the code that has such a network.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.layouts import CONVOLUTION_OF_FRAMES, DEPTHWISE, POINTWISE
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.slowfast_clips import slowfast_clips
from motion_vit.interop.families.state_dict_shapes import blocks, first_size, known, of_all_stages, size
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.x3d import X3D

_OUTSIDE = {
    "blocks.0.conv.conv_t": "s1.pathway0_stem.conv_xy",
    "blocks.0.conv.conv_xy": "s1.pathway0_stem.conv",
    "blocks.0.norm": "s1.pathway0_stem.bn",
    "blocks.5.pool.pre_conv": "head.conv_5",
    "blocks.5.pool.pre_norm": "head.conv_5_bn",
    "blocks.5.pool.post_conv": "head.lin_5",
    "blocks.5.proj": "head.projection",
}
"""Layers outside of blocks, in PyTorchVideo and in the SlowFast repository. Of the stem's convolutions, PyTorchVideo
calls that of frames `conv_t` and that over time `conv_xy`."""

_INSIDE = {
    "branch1_conv": "branch1",
    "branch1_norm": "branch1_bn",
    "branch2.conv_a": "branch2.a",
    "branch2.norm_a": "branch2.a_bn",
    "branch2.conv_b": "branch2.b",
    "branch2.norm_b.0": "branch2.b_bn",
    "branch2.norm_b.1.block.0": "branch2.se.fc1",
    "branch2.norm_b.1.block.2": "branch2.se.fc2",
    "branch2.conv_c": "branch2.c",
    "branch2.norm_c": "branch2.c_bn",
}
"""The same of layers inside of blocks."""

_OUTSIDE_OF_REPOSITORY = {theirs: name for name, theirs in _OUTSIDE.items()}
_INSIDE_OF_REPOSITORY = {theirs: name for name, theirs in _INSIDE.items()}

_BLOCK = re.compile(r"blocks\.([1-4])\.res_blocks\.(\d+)\.(.*)")
_BLOCK_OF_REPOSITORY = re.compile(r"s([2-5])\.pathway0_res(\d+)\.(.*)")

_STRIDE_NORM = "blocks.1.res_blocks.0.branch1_norm.weight"
"""The scale of the BatchNorm that one of the two networks has and the other has not."""


def x3d_rules(model: X3D) -> tuple[Rule, ...]:
    """Makes the table of an X3D, from the path here to the name in the code that has such a network.

    Motion modules in these networks are this library's, and so are the names of their places.

    Args:
      model: network whose weights are named.

    Returns:
      Rules for all its weights and running statistics.
    """
    outside = dict(_OUTSIDE) if model.stride_norm else {name: name for name in _OUTSIDE}
    inside = dict(_INSIDE) if model.stride_norm else {name: name for name in _INSIDE}
    root = Scope()
    rules = [
        root.kernel("stem/conv", outside["blocks.0.conv.conv_t"], CONVOLUTION_OF_FRAMES),
        root.kernel("stem/depthwise", outside["blocks.0.conv.conv_xy"], DEPTHWISE),
        *root.batch_norm("stem/norm", outside["blocks.0.norm"]),
        root.kernel("conv5", outside["blocks.5.pool.pre_conv"], CONVOLUTION_OF_FRAMES),
        *root.batch_norm("norm5", outside["blocks.5.pool.pre_norm"]),
        root.kernel("fc1", outside["blocks.5.pool.post_conv"], CONVOLUTION_OF_FRAMES),
        *root.layer("head", outside["blocks.5.proj"]),
    ]
    for stage in range(1, 5):
        there = f"s{stage + 1}.pathway0_res{{block}}." if model.stride_norm else f"blocks.{stage}.res_blocks.{{block}}."
        block = Scope(f"stage{stage}/block{{block}}/", there, {"block": r"\d+"})
        rules += [
            block.kernel("conv1", inside["branch2.conv_a"], CONVOLUTION_OF_FRAMES),
            *block.batch_norm("norm1", inside["branch2.norm_a"]),
            block.kernel("depthwise", inside["branch2.conv_b"], DEPTHWISE),
            *block.batch_norm("norm2", inside["branch2.norm_b.0"]),
            *block.layer("excitation/down", inside["branch2.norm_b.1.block.0"], POINTWISE),
            *block.layer("excitation/up", inside["branch2.norm_b.1.block.2"], POINTWISE),
            block.kernel("conv3", inside["branch2.conv_c"], CONVOLUTION_OF_FRAMES),
            *block.batch_norm("norm3", inside["branch2.norm_c"]),
            block.kernel("shortcut_conv", inside["branch1_conv"], CONVOLUTION_OF_FRAMES),
            *block.batch_norm("shortcut_norm", inside["branch1_norm"]),
        ]
        if model.motion_module != "none":
            rules += motion_module_rules(model.motion_module, block.inner("motion/", "branch2.motion."))
    return tuple(rules)


def x3d_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.x3d.X3D` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch, of either naming.

    Returns:
      The options that the weights leave no doubt about.
    """
    named = {_of_pytorchvideo(name): shape for name, shape in shapes.items()}
    stages = [f"blocks.{stage}.res_blocks." for stage in range(1, 5)]
    outputs, inputs = ([size(named, f"{stage}0.branch2.conv_c.weight", axis) for stage in stages] for axis in (0, 1))
    found: dict[str, Any] = {
        "num_classes": first_size(named, ("blocks.5.proj.weight",)),
        "widths": of_all_stages(outputs),
        "depths": of_all_stages([blocks(named, rf"{re.escape(stage)}(\d+)\.") for stage in stages]),
        "inner_ratio": _inner_ratio(outputs, inputs),
        "head_features": size(named, "blocks.5.pool.post_conv.weight"),
    }
    if "blocks.1.res_blocks.0.branch1_conv.weight" in named:
        found["stride_norm"] = _STRIDE_NORM in named
        found["motion_module"] = None if any(".branch2.motion." in name for name in named) else "none"
    return known(found)


def _inner_ratio(widths: Sequence[int | None], inner: Sequence[int | None]) -> float | None:
    """Returns the ratio of the channels inside of blocks in the last stage, if it is that of all; None otherwise."""
    pairs = [(width, inside) for width, inside in zip(widths, inner, strict=True) if width and inside]
    if len(pairs) < len(widths):
        return None
    ratio = pairs[-1][1] / pairs[-1][0]
    return ratio if all(int(ratio * width) == inside for width, inside in pairs) else None


def x3d_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the released weights took their clips, from the number of classes.

    The distance of frames, which is 12 for XS, 6 for S and 5 for M and L, shows in no weight.

    Args:
      found: of `x3d_options`.

    Returns:
      `channel_order`, and where it is known `sampling`.
    """
    return slowfast_clips(found.get("num_classes")) | {"channel_order": "rgb"}


def x3d_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights in PyTorch.
      options: every option of the model.

    Returns:
      Sentences.
    """
    if not any(_of_pytorchvideo(name).startswith("blocks.") for name in shapes):
        return []
    return [
        "weights do not tell the frames of the clips, nor their distance: XS has 4, 12 frames apart, S 13, 6 apart, M "
        f"and L 16, 5 apart; the model has frames={options['frames']}, and --stride sets the distance"
    ]


def x3d_names(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Renames weights of one of the two codes as the other's, where the model is called by that.

    Args:
      names: names in the source.
      wanted: names of the model's weights.

    Returns:
      Name in the source -> name in the model; itself where nothing else is known.
    """
    of_repository = any(name.startswith("s1.") for name in wanted)
    name_in_model = _of_repository if of_repository else _of_pytorchvideo
    return {name: name_in_model(name) for name in names}


def _of_pytorchvideo(name: str) -> str:
    """Names a weight of the SlowFast repository as PyTorchVideo does; other names stay."""
    layer, _, weight = name.rpartition(".")
    if layer in _OUTSIDE_OF_REPOSITORY:
        return f"{_OUTSIDE_OF_REPOSITORY[layer]}.{weight}"
    if found := _BLOCK_OF_REPOSITORY.fullmatch(layer):
        stage, block, part = found.groups()
        return f"blocks.{int(stage) - 1}.res_blocks.{block}.{_INSIDE_OF_REPOSITORY.get(part, part)}.{weight}"
    return name


def _of_repository(name: str) -> str:
    """Names a weight of PyTorchVideo as the SlowFast repository does; other names stay."""
    layer, _, weight = name.rpartition(".")
    if layer in _OUTSIDE:
        return f"{_OUTSIDE[layer]}.{weight}"
    if found := _BLOCK.fullmatch(layer):
        stage, block, part = found.groups()
        return f"s{int(stage) + 1}.pathway0_res{block}.{_INSIDE.get(part, part)}.{weight}"
    return name


X3D_FAMILY = ModelFamily(
    rules=x3d_rules,
    parts={"head": HEAD, "motion": Part("the motion modules", MOTION_MODULE_WEIGHTS, ("motion_module",))},
    structure=("widths", "depths"),
    adopted=("stride_norm",),
    read_options=x3d_options,
    clips=x3d_clips,
    notes=x3d_notes,
    names=x3d_names,
)
"""X3D, as of the weights for videos."""
