"""VideoMAE against its authors' code and against Hugging Face's: activations, logits and a training step."""

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
from motion_vit.ops.sinusoid_table import sinusoid_table


@functools.cache
def build(network):
    """The tiny model with the weights of a golden file."""
    model = motion_vit.create_model("videomae_tiny")
    return model, load_torch(model, goldens.state_dict(network))[0]


@functools.cache
def training_step(network):
    """Loss, logits and gradients in PyTorch's names and layouts."""
    model, variables = build(network)
    clips = jax.device_put(goldens.videomae_video())
    labels = goldens.load(network)["labels"]

    @jax.jit
    def step(params):
        def loss(params):
            logits = model.apply({"params": params}, clips, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, logits), gradients = step(variables["params"])
    flat = traverse_util.flatten_dict({"params": gradients}, sep="/")
    named = torch_state_dict(model, {path: np.asarray(value) for path, value in flat.items()}, step=0)
    return float(loss), np.asarray(logits), named


def test_activations_and_logits_are_those_of_the_authors():
    model, variables = build("videomae_tiny")
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    logits, inside = jax.device_get(run(variables, goldens.videomae_video()))
    golden = goldens.load("videomae_tiny")
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)
    first = {
        "eval/embedding": inside["embedding_output"],
        "eval/blocks.0": inside["blocks/block0_output"],
        "eval/blocks.1": inside["blocks/block1_output"],
    }
    for name, tokens in first.items():
        goldens.assert_matches(golden, name, tokens[:1].reshape(1, 64, 96), rtol=1e-4, atol=1e-5)
    features = inside["norm_output"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(features, golden["eval/fc_norm"], rtol=1e-4, atol=1e-5)


def test_the_table_of_positions_is_that_of_the_authors():
    goldens.assert_matches(
        goldens.load("videomae_tiny"), "pos_embed", sinusoid_table(64, 96)[None], rtol=1e-6, atol=1e-7
    )


def test_logits_of_weights_from_hugging_face_are_theirs():
    model, variables = build("videomae_hf_tiny")
    logits = jax.jit(model.apply)(variables, goldens.videomae_video())
    # Their LayerNorms add 1e-12 and 1e-5 to variances, those of the authors and of this library 1e-6.
    np.testing.assert_allclose(logits, goldens.load("videomae_hf_tiny")["logits"], rtol=1e-4, atol=1e-4)


def test_a_training_step_is_that_of_the_authors():
    golden = goldens.load("videomae_tiny")
    loss, logits, gradients = training_step("videomae_tiny")
    assert loss == pytest.approx(float(golden["train/loss"]), rel=1e-6)
    np.testing.assert_allclose(logits, golden["train/logits"], rtol=1e-4, atol=1e-5)
    norms = dict(zip(golden["train/grad_norm_names"].tolist(), golden["train/grad_norms"], strict=True))
    assert norms.keys() == gradients.keys()
    found = {name: np.linalg.norm(gradients[name]) for name in norms}
    np.testing.assert_allclose(list(found.values()), list(norms.values()), rtol=1e-4)
    arrays = [name for name in golden if name.startswith("train/grad/") and not name.endswith(":norm")]
    assert arrays
    for name in arrays:
        goldens.assert_gradient_matches(golden, name, gradients[name.removeprefix("train/grad/")])


# Of the authors' code with 400 classes and clips of 16 x 224 x 224, where the specification states them; multiply-adds
# of PyTorch's counter.
COSTS = {"videomae_s": (22_033_936, 56.9), "videomae_b": (86_534_800, 180.3), "videomae_l": (304_270_736, 596.8)}


@pytest.mark.fast_cases("videomae_s")
@pytest.mark.parametrize("name", COSTS)
def test_published_sizes_cost_what_the_authors_do(name):
    costs = measure_costs(motion_vit.create_model(name)).values()
    assert sum(cost.parameters for cost in costs) == COSTS[name][0]
    assert sum(cost.multiply_adds for cost in costs) / 1e9 == pytest.approx(COSTS[name][1], rel=5e-3)


def test_the_weights_of_the_base_model_are_those_of_the_authors():
    model = motion_vit.create_model("videomae_b")
    leaves = traverse_util.flatten_dict(variable_shapes(model), sep="/")
    entries = torch_entries(model, leaves)
    found = {entry.name: entry.layout.torch_shape(leaves[path].shape) for path, entry in entries.items()}
    assert found == goldens.state_dict_shapes("videomae_base")


@pytest.mark.slow
def test_logits_of_the_base_model_are_those_of_the_authors():
    model = motion_vit.create_model("videomae_b")
    variables, _ = load_torch(model, goldens.state_dict("videomae_base"))

    @jax.jit
    def run(variables, clips):
        logits, inside = motion_vit.apply_with_intermediates(model, variables, clips)
        last = inside["blocks/block11_output"]
        return logits, inside["norm_output"].mean(axis=(1, 2, 3)), last.reshape(1, -1, model.width)[:, :4]

    found = run(variables, goldens.videomae_base_video())
    golden = goldens.load("videomae_base")
    for name, value in zip(("logits", "eval/fc_norm", "eval/blocks.11.first_tokens"), found, strict=True):
        np.testing.assert_allclose(value, golden[name], rtol=1e-4, atol=1e-4)
