"""TimeSformer against the authors' code, and the table of names by which its weights are read."""

import goldens
import jax
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families import timesformer
from motion_vit.interop.families.name_rules import torch_entry


def build(scheme):
    """The model of a golden file, with the weights of that file."""
    model = motion_vit.create_model("timesformer_tiny", attention=scheme)
    weights = goldens.state_dict(f"timesformer_tiny_{scheme}")
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *model.clip_shape), np.float32))
    entries = {path: torch_entry(timesformer.RULES, path) for path in traverse_util.flatten_dict(shapes, sep="/")}
    assert {entry.name for entry in entries.values()} == set(weights)
    flat = {path: entry.layout.to_flax(weights[entry.name]) for path, entry in entries.items()}
    return model, traverse_util.unflatten_dict(flat, sep="/")


@pytest.mark.parametrize("scheme", ["divided_space_time", "joint_space_time", "space_only"])
def test_evaluation_logits_are_those_of_the_authors(scheme):
    model, variables = build(scheme)
    logits = jax.jit(model.apply)(variables, goldens.timesformer_video())
    golden = goldens.load(f"timesformer_tiny_{scheme}")
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)


def test_layouts_undo_each_other():
    _, variables = build("divided_space_time")
    for path, value in traverse_util.flatten_dict(variables, sep="/").items():
        layout = torch_entry(timesformer.RULES, path).layout
        np.testing.assert_array_equal(layout.to_flax(layout.to_torch(value)), value, err_msg=path)


# Of `VisionTransformer` in the authors' `timesformer/models/vit.py` with 400 classes.
PARAMETERS = {"divided_space_time": 121_566_352, "joint_space_time": 86_112_400, "space_only": 86_106_256}


@pytest.mark.fast_cases("space_only")
@pytest.mark.parametrize("scheme", PARAMETERS)
def test_the_base_model_has_as_many_parameters_as_the_authors(scheme):
    model = motion_vit.create_model("timesformer_b", attention=scheme)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, *model.clip_shape), np.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == PARAMETERS[scheme]
