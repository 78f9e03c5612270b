"""What all names of a file begin with is left out, and nothing else."""

import pytest

from motion_vit.interop.files.name_prefixes import uniform_prefix, without_prefix


def shortened(*names: str) -> tuple[str, list[str]]:
    prefix = uniform_prefix(names)
    return prefix, [without_prefix(name, prefix) for name in names]


@pytest.mark.parametrize(
    ("names", "prefix", "rest"),
    [
        (["conv1.weight", "fc.bias"], "", ["conv1.weight", "fc.bias"]),
        (["module.conv1.weight", "module.fc.bias"], "module.", ["conv1.weight", "fc.bias"]),
        (["model.head.bias", "model.cls_token"], "model.", ["head.bias", "cls_token"]),
        (["module.model.head.bias"], "module.model.", ["head.bias"]),
        (["_orig_mod.backbone.head.bias"], "_orig_mod.backbone.", ["head.bias"]),
        (["module.conv1.weight", "fc.bias"], "", ["module.conv1.weight", "fc.bias"]),
        (["modules.conv1.weight"], "", ["modules.conv1.weight"]),
        (["params/head/bias"], "", ["params/head/bias"]),
    ],
)
def test_a_prefix_that_all_names_share_is_left_out(names, prefix, rest):
    assert shortened(*names) == (prefix, rest)


def test_the_classifier_of_a_tsn_checkpoint_lies_beside_its_backbone():
    names = ["module.base_model.conv1.weight", "module.base_model.bn1.bias", "module.new_fc.weight"]
    assert shortened(*names) == ("module.base_model.", ["conv1.weight", "bn1.bias", "new_fc.weight"])


def test_motion_prompts_lie_beside_their_backbone():
    assert shortened("vmps.m", "vmps.n", "model.cls_token") == ("model.", ["vmps.m", "vmps.n", "cls_token"])
    assert shortened("vmps.m", "vmps.n") == ("", ["vmps.m", "vmps.n"])


def test_names_of_nothing_but_prefixes_do_not_cost_time():
    assert shortened("module." * 1_000_000 + "weight")[0] == "module." * 4


def test_no_two_names_become_one():
    assert shortened("model.vmps.m", "vmps.m", "model.head.bias")[0] == ""
