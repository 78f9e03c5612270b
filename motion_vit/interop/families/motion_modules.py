"""The names of the weights of M2A and of the modules compared with it, here and in the authors' PyTorch code.

Source: `ops/temporal_shift.py` and `ops/sota.py` of gebob19/M2A.
"""

from motion_vit.interop.families.layouts import (
    FRAME_CONVOLUTION,
    FRAME_DEPTHWISE,
    FRAME_POINTWISE,
    LINEAR,
    TEMPORAL_CONVOLUTION,
    TEMPORAL_POINTWISE,
    Layout,
)
from motion_vit.interop.families.name_rules import Rule, Scope

MOTION_MODULE_WEIGHTS = r".*/block\d+/motion/.*"
"""Matches the paths of the weights of motion modules in every network, behind their collection."""

_MOTION_PARTS: dict[str, tuple[tuple[tuple[str, str, Layout], ...], tuple[tuple[str, str], ...]]] = {
    "tea": (
        (
            ("conv1", "conv1", FRAME_CONVOLUTION),
            ("depthwise", "conv2", FRAME_DEPTHWISE),
            ("conv2", "conv3", FRAME_CONVOLUTION),
        ),
        (("norm1", "bn1"), ("norm2", "bn3")),
    ),
    "tdn": (
        (
            ("conv1", "conv1", FRAME_CONVOLUTION),
            ("depthwise", "conv2", FRAME_DEPTHWISE),
            ("conv2", "conv3", FRAME_CONVOLUTION),
            ("conv_half", "conv3_smallscale2", FRAME_CONVOLUTION),
            ("conv_full", "conv3_smallscale4", FRAME_CONVOLUTION),
        ),
        (("norm1", "bn1"), ("norm2", "bn3"), ("norm_half", "bn3_smallscale2"), ("norm_full", "bn3_smallscale4")),
    ),
}
"""Of each motion part the kernels (name here, name there, layout) and the normalisations (name here, name there)."""

_TAM_KERNELS = (
    ("kernel_fc1", "G.0", LINEAR),
    ("kernel_fc2", "G.3", LINEAR),
    ("gate_conv1", "L.0", TEMPORAL_CONVOLUTION),
    ("gate_conv2", "L.3", TEMPORAL_POINTWISE),
)
_TAM_NORMS = (("kernel_norm", "G.1"), ("gate_norm", "L.1"))


def motion_module_rules(kind: str, module: Scope) -> tuple[Rule, ...]:
    """Makes the table of a motion module.

    Args:
      kind: which module it is.
      module: where it is.

    Returns:
      Rules for all its weights and running statistics.
    """
    rules = [*module.layer("down", "conv_down", FRAME_POINTWISE), *module.layer("up", "conv_up", FRAME_POINTWISE)]
    motion, _, attention = kind.partition("+")
    if motion in _MOTION_PARTS:
        part = module.inner(f"{motion}/", "modules_list.0.motion_mod." if attention else "modules_list.0.")
        kernels, norms = _MOTION_PARTS[motion]
        rules += [part.kernel(path, name, layout) for path, name, layout in kernels]
        rules += [rule for path, name in norms for rule in part.batch_norm(path, name)]
    if "tam" in (motion, attention):
        part = module.inner("tam/", "modules_list.0.attn." if attention else "modules_list.0.")
        # TAM's kernels are parameters of its own, and not of layers in it.
        rules += [part.weight(path, f"{name}.weight", layout) for path, name, layout in _TAM_KERNELS]
        rules += [rule for path, name in _TAM_NORMS for rule in part.batch_norm(path, name)]
    return tuple(rules)
