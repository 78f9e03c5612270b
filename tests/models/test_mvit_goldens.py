"""MViTv2 against torchvision: activations, logits and a training step; names and costs of the published sizes."""

import functools

import goldens
import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.registry import torch_entries
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.checked_model import variable_shapes
from motion_vit.models.inspection import measure_costs


@functools.cache
def golden():
    return goldens.load("mvit/mvit_v2_tiny")


@functools.cache
def training_step():
    """Loss, logits, intermediates, and gradients in torchvision's names and layouts."""
    model = motion_vit.create_model("mvit_v2_tiny")
    variables = load_torch(model, goldens.mvit_state_dict())[0]
    clips, labels = jax.device_put((goldens.mvit_video(), golden()["labels"]))

    @jax.jit
    def step(params):
        def loss(params):
            logits, inside = motion_vit.apply_with_intermediates(model, {"params": params}, clips)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            chosen = {name: array[:1] for name, array in inside.items() if name.endswith("_output")}
            return losses.mean(), (logits, chosen)

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, (logits, inside)), gradients = step(variables["params"])
    flat = traverse_util.flatten_dict({"params": gradients}, sep="/")
    named = torch_state_dict(model, {path: np.asarray(value) for path, value in flat.items()}, step=0)
    return float(loss), logits, jax.tree.map(np.asarray, inside), named


@pytest.mark.slow
def test_activations_and_logits_are_torchvisions():
    _, logits, inside, _ = training_step()
    np.testing.assert_allclose(logits, golden()["logits"], rtol=1e-4, atol=1e-5)
    patches = inside["embedding_output"][:, 1:].reshape(1, 4, 16, 16, 32)[:, ::2, ::2, ::2]
    goldens.assert_matches(golden(), "eval/conv_proj", patches, rtol=1e-4, atol=1e-5)
    for block, step in enumerate((5, 1, 1, 1)):
        tokens = inside[f"blocks/block{block}_output"][:, ::step]
        goldens.assert_matches(golden(), f"eval/blocks.{block}", tokens, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(inside["norm_output"], golden()["eval/norm.class_token"][:1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_training_step_has_torchvisions_loss_and_gradients():
    loss, _, _, gradients = training_step()
    assert loss == pytest.approx(float(golden()["train/loss"]), rel=1e-5)
    norms = dict(zip(golden()["train/grad_norm_names"].tolist(), golden()["train/grad_norms"], strict=True))
    assert norms.keys() == gradients.keys()
    found = {name: np.linalg.norm(gradients[name]) for name in norms}
    largest = max(norms.values())
    np.testing.assert_allclose(list(found.values()), list(norms.values()), rtol=1e-4, atol=1e-6 * largest)
    arrays = [name for name in golden() if name.startswith("train/grad/") and not name.endswith(":norm")]
    assert len(arrays) > 10
    for name in arrays:
        goldens.assert_gradient_matches(golden(), name, gradients[name.removeprefix("train/grad/")])


# Of S as torchvision counts them, of B as the paper's table 6 does, in millions and to three digits.
COSTS = {"mvit_v2_s": (34_537_744, 1e-9, 64.2), "mvit_v2_b": (51.2e6, 1e-3, 225.0)}


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTS)
def test_published_sizes_cost_what_is_published(name):
    costs = measure_costs(motion_vit.create_model(name)).values()
    parameters, tolerance, multiply_adds = COSTS[name]
    assert sum(cost.parameters for cost in costs) == pytest.approx(parameters, rel=tolerance)
    assert sum(cost.multiply_adds for cost in costs) / 1e9 == pytest.approx(multiply_adds, rel=5e-3)


@pytest.mark.fast_cases("mvit_v2_tiny")
@pytest.mark.parametrize("name", ["mvit_v2_tiny", "mvit_v2_s"])
def test_names_and_shapes_of_the_weights_are_torchvisions(name):
    model = motion_vit.create_model(name)
    leaves = traverse_util.flatten_dict(variable_shapes(model), sep="/")
    entries = torch_entries(model, leaves)
    found = {entry.name: list(entry.layout.torch_shape(leaves[path].shape)) for path, entry in entries.items()}
    assert found == goldens.mvit_names("shapes")[name]
