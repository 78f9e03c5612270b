"""The names of a ResNet's weights here, in torchvision, and where TSM and M2A wrap its first convolutions.

Sources: torchvision's `resnet.py`; `make_temporal_shift` in `ops/temporal_shift.py` of gebob19/M2A. TSM wraps `conv1`
of a block as `conv1.net`; a motion module makes it a sequence: itself, TSM's shift where that is on, the convolution.
"""

from motion_vit.interop.families.frame_layouts import FRAME_CONVOLUTION
from motion_vit.interop.families.m2a_names import m2a_rules, norm_rules
from motion_vit.interop.families.name_rules import LINEAR, SAME, Rule
from motion_vit.models.resnet import ResNet

_FIELDS = {"stage": "[1-4]", "block": r"\d+", "layer": "[1-3]"}
_PLACE = "stage{stage}/block{block}/", "layer{stage}.{block}."


def resnet_rules(model: ResNet) -> tuple[Rule, ...]:
    """The table of a ResNet, from the path here to the name there; it depends on the model's options.

    Args:
      model: the model.

    Returns:
      Rules for all its weights and running statistics.
    """
    path, name = _PLACE
    rules: list[Rule] = []
    # One rule for every block that mixes frames, before the one for those that do not.
    for mixes, blocks in ((True, _mixing_blocks(model)), (False, r"\d+")):
        fields = _FIELDS | {"block": blocks}
        conv1 = _first_convolution(model) if mixes else "conv1"
        rules.append(Rule(f"params/{path}conv1/kernel", f"{name}{conv1}.weight", FRAME_CONVOLUTION, fields))
    if model.motion_module != "none":
        rules += m2a_rules(model.motion_module, f"{path}motion/", f"{name}conv1.0.", _FIELDS)
    return (
        Rule("params/stem/conv/kernel", "conv1.weight", FRAME_CONVOLUTION, {}),
        *norm_rules("stem/norm", "bn1", {}),
        *rules,
        Rule(f"params/{path}conv{{layer}}/kernel", f"{name}conv{{layer}}.weight", FRAME_CONVOLUTION, _FIELDS),
        *norm_rules(f"{path}norm{{layer}}", f"{name}bn{{layer}}", _FIELDS),
        Rule(f"params/{path}shortcut_conv/kernel", f"{name}downsample.0.weight", FRAME_CONVOLUTION, _FIELDS),
        *norm_rules(f"{path}shortcut_norm", f"{name}downsample.1", _FIELDS),
        Rule("params/head/kernel", "fc.weight", LINEAR, {}),
        Rule("params/head/bias", "fc.bias", SAME, {}),
    )


def _mixing_blocks(model: ResNet) -> str:
    """A pattern of the numbers of the blocks that have the motion module and the shift."""
    return r"\d+" if model.mixes_frames(1) else r"\d*[02468]"


def _first_convolution(model: ResNet) -> str:
    """What the first convolution of a block that mixes frames is called."""
    if model.motion_module != "none":
        return "conv1.2" if model.temporal_shift else "conv1.1"
    return "conv1.net" if model.temporal_shift else "conv1"
