"""The weights of any network behind video motion prompts, as their authors' PyTorch code names them.

Source: `timesformer/models/vit.py` of q1xiangchen/VMPs, where `VideoMotionPrompt` lies beside the network as `vmps`.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from motion_vit.interop.families.family import ModelFamily, Part
from motion_vit.interop.families.layouts import NUMBER
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.models.motion_prompted import MotionPrompted

PROMPTED_BACKBONE = "model."
"""What the authors put before the names of the network behind the prompts."""

_PROMPT_RULE = Scope("prompt/", "vmps.", {"number": "[mn]"}).weight("{number}", "{number}", NUMBER)
_PROMPT = Part("the motion prompt", r"prompt/.*")


def behind_motion_prompt(family: ModelFamily) -> ModelFamily:
    """Makes the family of the networks of another family behind motion prompts.

    Args:
      family: what is known about the network.
    """

    def rules(model: MotionPrompted) -> tuple[Rule, ...]:
        return _PROMPT_RULE, *(_behind(rule) for rule in family.rules(model.backbone))

    def published(model: MotionPrompted, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        behind = {name.removeprefix(PROMPTED_BACKBONE): name for name in arrays if name.startswith(PROMPTED_BACKBONE)}
        beside = {name: array for name, array in arrays.items() if not name.startswith(PROMPTED_BACKBONE)}
        found = family.published(model.backbone, {name: arrays[whole] for name, whole in behind.items()})
        return beside | {PROMPTED_BACKBONE + name: array for name, array in found.items()}

    def table_grid(model: MotionPrompted, path: str) -> tuple[int, int, int] | None:
        return family.table_grid(model.backbone, path.replace("/backbone/", "/", 1))

    parts = {
        name: dataclasses.replace(part, pattern=rf"backbone/(?:{part.pattern})") for name, part in family.parts.items()
    }
    return dataclasses.replace(
        family,
        rules=rules,
        parts={**parts, "prompt": _PROMPT},
        published=published,
        table_grid=table_grid,
        huggingface=None,
    )


def _behind(rule: Rule) -> Rule:
    collection, _, path = rule.path.partition("/")
    return dataclasses.replace(rule, path=f"{collection}/backbone/{path}", name=PROMPTED_BACKBONE + rule.name)
