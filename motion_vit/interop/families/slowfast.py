"""The weights of SlowFast, Slow, C2D and I3D in PyTorchVideo, and those of the SlowFast repository by other names.

Sources: `create_slowfast` and `create_resnet` of facebookresearch/pytorchvideo, whose names the released files have;
`models/video_model_builder.py`, `resnet_helper.py` and `stem_helper.py` of facebookresearch/SlowFast. PyTorchVideo
numbers whatever stands in a row: in C2D and I3D the pool over time is block 2, so that all behind it is one further.
"""

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.layouts import CONVOLUTION, CONVOLUTION_OF_FRAMES
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.slowfast_clips import KINETICS_CLASSES, slowfast_clips
from motion_vit.interop.families.state_dict_shapes import blocks, first_size, has_own_names, known, of_all_stages, size
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.slowfast import SlowFast

_PATHWAYS = {"slow_": "multipathway_blocks.0.", "fast_": "multipathway_blocks.1."}
"""What stands before the names of the two pathways, here and there."""

_FIELDS = {"block": r"\d+"}
_PARTS = (("conv2", "conv_b"), ("conv3", "conv_c"), ("shortcut_conv", "branch1_conv"))
_NORMS = (("norm1", "norm_a"), ("norm2", "norm_b"), ("norm3", "norm_c"))

_REPOSITORY_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"s1\.pathway(\d)_stem\.conv\.(.*)"), r"blocks.0.multipathway_blocks.\1.conv.\2"),
    (re.compile(r"s1\.pathway(\d)_stem\.bn\.(.*)"), r"blocks.0.multipathway_blocks.\1.norm.\2"),
    (re.compile(r"s1_fuse\.conv_f2s\.(.*)"), r"blocks.0.multipathway_fusion.conv_fast_to_slow.\1"),
    (re.compile(r"s1_fuse\.bn\.(.*)"), r"blocks.0.multipathway_fusion.norm.\1"),
    *(
        (re.compile(pattern.replace("STAGE", str(stage + 1))), replacement.replace("STAGE", str(stage)))
        for stage in range(1, 5)
        for pattern, replacement in (
            (r"sSTAGE_fuse\.conv_f2s\.(.*)", r"blocks.STAGE.multipathway_fusion.conv_fast_to_slow.\1"),
            (r"sSTAGE_fuse\.bn\.(.*)", r"blocks.STAGE.multipathway_fusion.norm.\1"),
            (
                r"sSTAGE\.pathway(\d)_res(\d+)\.branch1\.(.*)",
                r"blocks.STAGE.multipathway_blocks.\1.res_blocks.\2.branch1_conv.\3",
            ),
            (
                r"sSTAGE\.pathway(\d)_res(\d+)\.branch1_bn\.(.*)",
                r"blocks.STAGE.multipathway_blocks.\1.res_blocks.\2.branch1_norm.\3",
            ),
            (
                r"sSTAGE\.pathway(\d)_res(\d+)\.branch2\.([abc])\.(.*)",
                r"blocks.STAGE.multipathway_blocks.\1.res_blocks.\2.branch2.conv_\3.\4",
            ),
            (
                r"sSTAGE\.pathway(\d)_res(\d+)\.branch2\.([abc])_bn\.(.*)",
                r"blocks.STAGE.multipathway_blocks.\1.res_blocks.\2.branch2.norm_\3.\4",
            ),
        )
    ),
    (re.compile(r"head\.projection\.(.*)"), r"blocks.6.proj.\1"),
)
"""Names of the SlowFast repository, and those of a PyTorchVideo network of two pathways in their place."""


def slowfast_rules(model: SlowFast) -> tuple[Rule, ...]:
    """Makes the table of a SlowFast, or of a network of one pathway, from the path here to the name in PyTorchVideo.

    Motion modules in these networks are this library's, and so are the names of their places.

    Args:
      model: network whose weights are named.

    Returns:
      Rules for all its weights and running statistics.
    """
    pathways = _PATHWAYS if model.fast_pathway else {"": ""}
    rules: list[Rule] = []
    for pathway, inner in pathways.items():
        stem = Scope(f"{pathway}stem/", f"blocks.0.{inner}")
        spans_frames = model.kernel_frames(pathway, 0) > 1
        rules.append(stem.kernel("conv", "conv", CONVOLUTION if spans_frames else CONVOLUTION_OF_FRAMES))
        rules += stem.batch_norm("norm", "norm")
        for stage in range(1, 5):
            number = _block_number(stage, temporal_pool=model.temporal_pool)
            block = Scope(
                f"{pathway}stage{stage}/block{{block}}/", f"blocks.{number}.{inner}res_blocks.{{block}}.", _FIELDS
            )
            rules += _block_rules(model, pathway, stage, block)
    for stage, place in enumerate(("stem", "stage1", "stage2", "stage3")):
        lateral = Scope(f"lateral_{place}/", f"blocks.{stage}.multipathway_fusion.")
        rules += (lateral.kernel("conv", "conv_fast_to_slow", CONVOLUTION), *lateral.batch_norm("norm", "norm"))
    head = 6 if model.fast_pathway else _block_number(5, temporal_pool=model.temporal_pool)
    return (*rules, *Scope().layer("head", f"blocks.{head}.proj"))


def _block_number(stage: int, *, temporal_pool: bool) -> int:
    """Numbers a stage, or the head of a single pathway behind stage 4, among the blocks of PyTorchVideo."""
    return stage + (temporal_pool and stage > 1)


def _block_rules(model: SlowFast, pathway: str, stage: int, block: Scope) -> list[Rule]:
    """Makes the rules of all blocks of a stage."""
    depth = model.depths[stage - 1]
    over_time = [str(index) for index in range(depth) if model.kernel_frames(pathway, stage, index) > 1]
    rules = []
    if over_time:  # before the rule of the first convolutions of all blocks, that of those which span frames
        some = dataclasses.replace(block, fields={"block": "|".join(over_time)})
        rules.append(some.kernel("conv1", "branch2.conv_a", CONVOLUTION))
    rules.append(block.kernel("conv1", "branch2.conv_a", CONVOLUTION_OF_FRAMES))
    rules += [block.kernel(path, _within_branch(name), CONVOLUTION_OF_FRAMES) for path, name in _PARTS]
    for path, name in (*_NORMS, ("shortcut_norm", "branch1_norm")):
        rules += block.batch_norm(path, _within_branch(name))
    if model.has_motion(pathway):
        rules += motion_module_rules(model.motion_module, block.inner("motion/", "branch2.motion."))
    return rules


def _within_branch(name: str) -> str:
    return name if name.startswith("branch1") else f"branch2.{name}"


def slowfast_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.slowfast.SlowFast` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch, of either naming.

    Returns:
      The options that the weights leave no doubt about; not the ratio of frames, which no shape depends on. The pool
      over time of a single pathway shows in the names of PyTorchVideo alone.
    """
    of_repository = any(name.startswith("s1.") for name in shapes)
    two = any(".multipathway_blocks." in name or ".pathway1_" in name for name in shapes)
    pool = not two and not of_repository and any(name.startswith("blocks.1.") for name in shapes)
    pool = pool and not any(name.startswith("blocks.2.") for name in shapes)
    named = {_of_pytorchvideo(name, two_pathways=two, temporal_pool=pool): shape for name, shape in shapes.items()}
    slow = _PATHWAYS["slow_"] if two else ""
    stages = [f"blocks.{_block_number(stage, temporal_pool=pool)}.{slow}res_blocks." for stage in range(1, 5)]
    stem = size(named, f"blocks.0.{slow}conv.weight")
    found: dict[str, Any] = {
        "num_classes": first_size(named, ("blocks.6.proj.weight", "blocks.5.proj.weight")),
        "widths": of_all_stages([size(named, f"{stage}0.branch2.conv_b.weight") for stage in stages]),
        "depths": of_all_stages([blocks(named, rf"{re.escape(stage)}(\d+)\.") for stage in stages]),
    }
    if stem is None:
        return known(found)
    found["fast_pathway"] = two
    found["temporal_convolutions"] = _temporal_convolutions(named, slow, stages[-1])
    found["motion_module"] = None if any(".branch2.motion." in name for name in named) else "none"
    if not two:
        return known(found | {"temporal_pool": None if of_repository else pool})
    fast = size(named, "blocks.0.multipathway_blocks.1.conv.weight")
    found["channel_ratio"] = stem // fast if fast else None
    found["lateral_kernel"] = size(named, "blocks.0.multipathway_fusion.conv_fast_to_slow.weight", 2)
    return known(found)


def _temporal_convolutions(shapes: Mapping[str, Shape], slow: str, last_stage: str) -> str | None:
    """Tells by the frames that the stem and the last stage span which network the Slow or only pathway is."""
    stem = size(shapes, f"blocks.0.{slow}conv.weight", 2)
    late = size(shapes, f"{last_stage}0.branch2.conv_a.weight", 2)
    if stem is None or late is None:
        return None
    return "alternating" if stem > 1 else "late" if late > 1 else "none"


def slowfast_network_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the released weights took their clips, from the number of classes and of pathways.

    The released settings turn frames of Something-Something into red, green, blue.

    Args:
      found: of `slowfast_options`.

    Returns:
      `channel_order`, and where they are known `sampling` and `stride`.
    """
    clips = slowfast_clips(found.get("num_classes")) | {"channel_order": "rgb"}
    if found.get("num_classes") in KINETICS_CLASSES and "fast_pathway" in found:
        clips["stride"] = 2 if found["fast_pathway"] else 8
    return clips


def slowfast_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights in PyTorch.
      options: every option of the model.

    Returns:
      Sentences.
    """
    if has_own_names(shapes):
        return []
    if options["fast_pathway"]:
        return [
            "weights do not tell the ratio of frames (4x16: 8, 8x8: 4); the model has "
            f"frame_ratio={options['frame_ratio']}"
        ]
    if any(name.startswith("s1.") for name in shapes):
        return [
            "these names do not tell whether frames are pooled in pairs behind stage 1; the model has "
            f"temporal_pool={options['temporal_pool']}"
        ]
    return []


def slowfast_names(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Renames weights of the SlowFast repository as PyTorchVideo's.

    Args:
      names: names in the source.
      wanted: names of the model's weights in PyTorchVideo.

    Returns:
      Name in the source -> name in the model; itself where nothing else is known.
    """
    two = any(".multipathway_blocks." in name for name in wanted)
    pool = not any(name.startswith("blocks.2.") for name in wanted)
    return {name: _of_pytorchvideo(name, two_pathways=two, temporal_pool=pool) for name in names}


def _of_pytorchvideo(name: str, *, two_pathways: bool, temporal_pool: bool) -> str:
    """Names a weight of the SlowFast repository as PyTorchVideo does; other names stay."""
    for pattern, replacement in _REPOSITORY_NAMES:
        if found := pattern.fullmatch(name):
            renamed = found.expand(replacement)
            return renamed if two_pathways else _of_one_pathway(renamed, temporal_pool)
    return name


def _of_one_pathway(name: str, temporal_pool: bool) -> str:
    """Turns a name of a network of two pathways into that of a network of one."""
    _, number, rest = name.split(".", 2)
    stage = 5 if rest.startswith("proj.") else int(number)
    return f"blocks.{_block_number(stage, temporal_pool=temporal_pool)}.{rest.removeprefix(_PATHWAYS['slow_'])}"


SLOWFAST = ModelFamily(
    rules=slowfast_rules,
    parts={"head": HEAD, "motion": Part("the motion modules", MOTION_MODULE_WEIGHTS, ("motion_module",))},
    structure=("widths", "depths", "fast_pathway", "temporal_convolutions", "temporal_pool", "lateral_kernel"),
    read_options=slowfast_options,
    clips=slowfast_network_clips,
    notes=slowfast_notes,
    names=slowfast_names,
)
"""SlowFast, Slow, C2D and I3D, as of the weights for videos."""
