"""The table of UniFormer's names: complete and unambiguous."""

import goldens
import jax
import jax.numpy as jnp
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.name_rules import torch_entry
from motion_vit.interop.families.uniformer import RULES


def variable_shapes(name, **options):
    model = motion_vit.create_model(name, **options)
    clips = jax.ShapeDtypeStruct((1, 16, model.image_size, model.image_size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables, sep="/").items()}


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
    for path, shape in variable_shapes(preset, **options).items():
        entry = torch_entry(RULES, path)
        assert entry.name not in found, f"{path} shares its name"
        found[entry.name] = entry.layout.torch_shape(shape)
    weights = goldens.state_dict(golden)
    assert found == {name: value.shape for name, value in weights.items() if not name.endswith("num_batches_tracked")}


def test_no_two_rules_of_a_table_claim_the_same_weight():
    for path in variable_shapes("uniformer_emim_b", layer_scale=1e-5):
        names = [rule.torch_name(path) for rule in RULES]
        assert sum(name is not None for name in names) == 1, path
