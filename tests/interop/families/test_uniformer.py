"""The table of UniFormer's names: complete and unambiguous."""

import goldens
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.name_rules import torch_entry
from motion_vit.interop.families.uniformer import RULES
from motion_vit.models.checked_model import variable_shapes


def shapes_of(name, **options):
    model = motion_vit.create_model(name, **options)
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}


@pytest.mark.fast_cases("uniformer_emim_tiny-*", "uniformer_tiny-*")
@pytest.mark.parametrize(
    ("golden", "preset", "options"),
    [
        ("uniformer_emim_s", "uniformer_emim_s", {"num_classes": 174}),
        ("uniformer_emim_tiny", "uniformer_emim_tiny", {}),
        ("uniformer_tiny", "uniformer_tiny", {}),
        ("uniformer_emim_tiny_layerscale", "uniformer_emim_tiny", {"layer_scale": 1e-5}),
    ],
)
def test_the_table_gives_exactly_the_authors_names_and_shapes(golden, preset, options):
    found = {}
    for path, shape in shapes_of(preset, **options).items():
        entry = torch_entry(RULES, path)
        assert entry.name not in found, f"{path} shares its name"
        found[entry.name] = entry.layout.torch_shape(shape)
    weights = goldens.state_dict(golden)
    assert found == {name: value.shape for name, value in weights.items() if not name.endswith("num_batches_tracked")}


def test_no_two_rules_of_a_table_claim_the_same_weight():
    for path in shapes_of("uniformer_emim_tiny", layer_scale=1e-5):
        names = [rule.torch_name(path) for rule in RULES]
        assert sum(name is not None for name in names) == 1, path
