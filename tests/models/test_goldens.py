"""Whole networks against the authors' code: activations, logits, and everything a training step changes."""

import functools

import goldens
import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families import uniformer
from motion_vit.interop.families.name_rules import torch_entry
from motion_vit.interop.importing.state_dict import load_torch

TINY = {
    "uniformer_emim_tiny": ("uniformer_emim_tiny", {}),
    "uniformer_tiny": ("uniformer_tiny", {}),
    "uniformer_emim_tiny_layerscale": ("uniformer_emim_tiny", {"layer_scale": 1e-5}),
}

ZERO_IN_EXACT_ARITHMETIC = "blocks4.1.mlp.fc2.bias"
"""The bias of a residual branch straight before the last BatchNorm, which subtracts it again."""


def build(name):
    preset, options = TINY[name]
    model = motion_vit.create_model(preset, **options)
    variables, _ = load_torch(model, goldens.state_dict(name))
    return model, variables, goldens.load(name)


def to_torch(tree):
    """Arrays of a params or batch_stats tree under PyTorch's names, in its layouts."""
    flat = {path: np.asarray(value) for path, value in traverse_util.flatten_dict(tree, sep="/").items()}
    entries = {path: torch_entry(uniformer.RULES, path) for path in flat}
    return {entries[path].name: entries[path].layout.to_torch(value) for path, value in flat.items()}


@pytest.fixture(scope="module", params=TINY)
def training_step(request):
    """Loss, logits, gradients and new BatchNorm statistics of one training step, and the golden values."""
    model, variables, golden = build(request.param)
    labels = golden["labels"].astype(np.int32)

    def loss(params, clips):
        logits, updates = model.apply(
            {"params": params, "batch_stats": variables["batch_stats"]}, clips, train=True, mutable=["batch_stats"]
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), (logits, updates)

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (logits, updates)), gradients = step(variables["params"], goldens.tiny_video())
    return {
        "loss": value,
        "logits": logits,
        "gradients": to_torch({"params": gradients}),
        "buffers": to_torch(updates),
    }, golden


@functools.cache
def evaluated(name):
    """Logits and intermediates in evaluation, and the golden values."""
    model, variables, golden = build(name)
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    return *run(variables, goldens.tiny_video()), golden


@pytest.mark.fast_cases("uniformer_emim_tiny")
@pytest.mark.parametrize("name", TINY)
def test_evaluation_logits_are_those_of_the_authors(name):
    logits, _, golden = evaluated(name)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)


def test_every_stage_computes_what_the_authors_code_does():
    _, intermediates, golden = evaluated("uniformer_emim_tiny")
    outputs = {}
    for name, value in intermediates.items():
        if name.endswith("_output"):
            part = name.removesuffix("_output").replace("stage", "blocks").replace("/block", ".")
            outputs[f"eval/{part}"] = value
    assert set(outputs) == {name for name in golden if name.startswith("eval/") and not name.endswith(":norm")}
    for name, value in outputs.items():
        goldens.assert_matches(golden, name, value, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_training_step_gives_the_authors_loss_and_logits(training_step):
    step, golden = training_step
    np.testing.assert_allclose(step["logits"], golden["train/logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(step["loss"], golden["train/loss"], rtol=1e-4)


@pytest.mark.slow
def test_a_training_step_leaves_the_authors_batch_norm_statistics(training_step):
    step, golden = training_step
    for name, value in step["buffers"].items():
        np.testing.assert_allclose(value, golden[f"train/buffer/{name}"], rtol=1e-4, atol=1e-5, err_msg=name)
    assert {f"train/buffer/{name}" for name in step["buffers"]} == {
        name for name in golden if name.startswith("train/buffer/") and not name.endswith("num_batches_tracked")
    }


@pytest.mark.slow
@pytest.mark.parametrize("training_step", ["uniformer_emim_tiny"], indirect=True)
def test_a_training_step_gives_the_authors_gradient_of_every_parameter(training_step):
    step, golden = training_step
    gradients = step["gradients"]
    for name, gradient in gradients.items():
        if name != ZERO_IN_EXACT_ARITHMETIC:
            goldens.assert_gradient_matches(golden, f"train/grad/{name}", gradient)
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    np.testing.assert_allclose(gradients[ZERO_IN_EXACT_ARITHMETIC], 0, atol=1e-6 * largest)
    assert {f"train/grad/{name}" for name in gradients} == {
        name for name in golden if name.startswith("train/grad/") and not name.endswith(":norm")
    }


@pytest.mark.slow
def test_the_full_network_gives_the_authors_logits():
    model = motion_vit.create_model("uniformer_emim_s", num_classes=174)
    variables, _ = load_torch(model, goldens.state_dict("uniformer_emim_s"))
    logits = jax.jit(model.apply)(variables, goldens.small_video())
    np.testing.assert_allclose(logits, goldens.load("uniformer_emim_s")["logits"], rtol=1e-4, atol=1e-4)
