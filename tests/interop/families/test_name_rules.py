"""Rules of names: of the layers in a module, and what happens without one."""

import pytest

from motion_vit import UserError
from motion_vit.interop.families.layouts import LINEAR, SAME
from motion_vit.interop.families.name_rules import Scope, TorchEntry, torch_entry

BLOCK = Scope("stage{stage}/", "layer{stage}.", {"stage": "[1-4]", "number": r"\d+"}).inner("block/", "0.")


def test_the_rules_of_a_module_name_the_weights_of_the_layers_in_it():
    rules = (*BLOCK.layer("fc{number}", "mlp.{number}"), *BLOCK.batch_norm("norm", "bn"))
    names = {
        "params/stage2/block/fc12/kernel": TorchEntry("layer2.0.mlp.12.weight", LINEAR),
        "params/stage2/block/fc12/bias": TorchEntry("layer2.0.mlp.12.bias", SAME),
        "params/stage4/block/norm/scale": TorchEntry("layer4.0.bn.weight", SAME),
        "params/stage4/block/norm/bias": TorchEntry("layer4.0.bn.bias", SAME),
        "batch_stats/stage4/block/norm/mean": TorchEntry("layer4.0.bn.running_mean", SAME),
        "batch_stats/stage4/block/norm/var": TorchEntry("layer4.0.bn.running_var", SAME),
    }
    assert {path: torch_entry(rules, path) for path in names} == names


def test_a_weight_without_a_rule_is_named():
    with pytest.raises(UserError, match="params/stage5/block/norm/scale"):
        torch_entry(BLOCK.norm("norm", "bn"), "params/stage5/block/norm/scale")
