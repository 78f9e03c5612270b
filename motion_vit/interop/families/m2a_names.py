"""The names of the weights of M2A and of the modules compared with it, here and in the authors' PyTorch code.

Source: `ops/temporal_shift.py` and `ops/sota.py` of gebob19/M2A.
"""

from collections.abc import Mapping

from motion_vit.interop.families.frame_layouts import (
    FRAME_CONVOLUTION,
    FRAME_DEPTHWISE,
    FRAME_POINTWISE,
    TEMPORAL_CONVOLUTION,
    TEMPORAL_POINTWISE,
)
from motion_vit.interop.families.name_rules import LINEAR, SAME, Layout, Rule

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


def m2a_rules(kind: str, path: str, name: str, fields: Mapping[str, str]) -> tuple[Rule, ...]:
    """The table of a motion module.

    Args:
      kind: which module it is.
      path: where it is here, without the collection, with "/" at the end unless it is empty.
      name: where it is in PyTorch, with "." at the end unless it is empty.
      fields: pattern of each field in braces of `path` and `name`.

    Returns:
      Rules for all its weights and running statistics.
    """

    def kernel(inner: str, other: str, layout: Layout) -> Rule:
        return Rule(f"params/{path}{inner}", f"{name}{other}.weight", layout, fields)

    def norm(inner: str, other: str) -> list[Rule]:
        return norm_rules(f"{path}{inner}", f"{name}{other}", fields)

    rules = []
    for inner, other in (("down", "conv_down"), ("up", "conv_up")):
        rules.append(kernel(f"{inner}/kernel", other, FRAME_POINTWISE))
        rules.append(Rule(f"params/{path}{inner}/bias", f"{name}{other}.bias", SAME, fields))
    motion, _, attention = kind.partition("+")
    if motion in _MOTION_PARTS:
        place = "modules_list.0.motion_mod" if attention else "modules_list.0"
        kernels, norms = _MOTION_PARTS[motion]
        rules += [kernel(f"{motion}/{inner}/kernel", f"{place}.{other}", layout) for inner, other, layout in kernels]
        rules += [rule for inner, other in norms for rule in norm(f"{motion}/{inner}", f"{place}.{other}")]
    if "tam" in (motion, attention):
        place = "modules_list.0.attn" if attention else "modules_list.0"
        rules += [kernel(f"tam/{inner}", f"{place}.{other}", layout) for inner, other, layout in _TAM_KERNELS]
        rules += [rule for inner, other in _TAM_NORMS for rule in norm(f"tam/{inner}", f"{place}.{other}")]
    return tuple(rules)


def norm_rules(path: str, name: str, fields: Mapping[str, str]) -> list[Rule]:
    """Scale, bias and running statistics of a BatchNorm.

    Args:
      path: where it is here, without the collection.
      name: where it is in PyTorch.
      fields: pattern of each field in braces.

    Returns:
      Four rules.
    """
    weights = {"params/scale": "weight", "params/bias": "bias"}
    statistics = {"batch_stats/mean": "running_mean", "batch_stats/var": "running_var"}
    return [
        Rule(f"{kind}/{path}/{inner}", f"{name}.{other}", SAME, fields)
        for place, other in (weights | statistics).items()
        for kind, inner in [place.split("/")]
    ]
