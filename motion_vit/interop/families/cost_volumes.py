"""The weights that cost volumes add to an attention: what they are called, and which options decide them."""

from motion_vit.interop.families.name_rules import Rule, Scope

COST_VOLUME_OPTIONS = ("window", "position_bias", "motion_branch")
"""The options that every network with cost volumes has."""

COST_VOLUME_WEIGHTS = "(rpb|motion/.*)"
"""Matches the paths of these weights in the attention."""


def cost_volume_rules(attention: Scope) -> tuple[Rule, ...]:
    """Makes the rules of the displacement bias and the motion branch, as EMIM's authors name them.

    Args:
      attention: the attention that they are in.
    """
    return (
        attention.weight("rpb", "rpb"),
        *attention.layer("motion/fc1", "motion_conv.0"),
        *attention.layer("motion/fc2", "motion_conv.2"),
    )
