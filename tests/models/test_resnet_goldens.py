"""ResNet-18 as TSN, TSM and M2A against the authors' code."""

import goldens
import jax
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.name_rules import torch_entry
from motion_vit.interop.families.resnet import resnet_rules

AUTHORS_NAMES = {
    "resnet18_tsn": "tsn_resnet18",
    "resnet18_tsm": "tsm_resnet18",
    "resnet18_m2a": "m2a_resnet18",
    "resnet18_m2a_tsm": "m2a_tsm_resnet18",
}


@pytest.mark.fast_cases("resnet18_m2a_tsm")
@pytest.mark.parametrize("name", AUTHORS_NAMES)
def test_evaluation_logits_are_those_of_the_authors(name):
    model = motion_vit.create_model(name, num_classes=10, image_size=64)
    clips = goldens.resnet_video()
    weights = goldens.state_dict(AUTHORS_NAMES[name])
    shapes = traverse_util.flatten_dict(jax.eval_shape(model.init, jax.random.key(0), clips), sep="/")
    entries = {path: torch_entry(resnet_rules(model), path) for path in shapes}
    assert {entry.name for entry in entries.values()} == {
        entry for entry in weights if not entry.endswith("num_batches_tracked")
    }
    variables = {path: entry.layout.to_flax(weights[entry.name]) for path, entry in entries.items()}
    assert {path: value.shape for path, value in variables.items()} == {
        path: leaf.shape for path, leaf in shapes.items()
    }
    logits = jax.jit(model.apply)(traverse_util.unflatten_dict(variables, sep="/"), clips)
    golden = goldens.load("resnet_tsn")[f"{AUTHORS_NAMES[name]}/logits"]
    np.testing.assert_allclose(logits, golden, rtol=1e-4, atol=1e-4)
