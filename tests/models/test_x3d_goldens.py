"""X3D against the authors' code: activations, logits, and all that a training step changes."""

import functools

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.registry import torch_entries
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.checked_model import variable_shapes

TINY = {"x3d_tiny": {}, "x3d_tiny_slowfast_repository": {"stride_norm": True}}


def build(name, **options):
    return motion_vit.create_model("x3d_tiny", **TINY[name] | options)


@functools.cache
def weights(name):
    shapes = goldens.x3d_names()["shapes"][name]
    return {entry: goldens.weight(entry, tuple(shape)) for entry, shape in shapes.items()}


def load(name):
    return goldens.load(f"x3d/{name}")


def to_torch(model, tree):
    """Arrays of a params or batch_stats tree under PyTorch's names, in its layouts."""
    flat = {path: np.asarray(value) for path, value in traverse_util.flatten_dict(tree, sep="/").items()}
    entries = torch_entries(model, flat)
    return {entries[path].name: entries[path].layout.to_torch(value) for path, value in flat.items()}


def test_every_stage_and_the_logits_are_those_of_the_authors():
    model, golden = build("x3d_tiny"), load("x3d_tiny")
    variables, report = load_torch(model, weights("x3d_tiny"))
    assert report.complete
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    logits, intermediates = run(variables, goldens.slowfast_video(golden))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)
    intermediates = {key: np.asarray(value) for key, value in intermediates.items()}
    outputs = {"blocks.0": intermediates["stem_output"]}
    for stage, depth in enumerate(model.depths, start=1):
        outputs[f"blocks.{stage}"] = intermediates[f"stage{stage}/block{depth - 1}_output"]
    outputs["blocks.5.pool"] = intermediates["features_output"].mean(axis=(1, 2, 3), keepdims=True)
    # All that is stored but the first convolution, behind which no output has a name here.
    assert {*outputs, "blocks.0.conv.conv_t"} == {
        entry.removeprefix("eval_mean/") for entry in golden if entry.startswith("eval_mean/")
    }
    for module, value in outputs.items():
        entry = f"eval/{module}"
        largest = np.abs(golden[entry]).max()
        thinned = value[:1, ..., :: int(golden[f"eval_stride/{module}"])]
        for key, actual in goldens.thin(entry, thinned).items():
            np.testing.assert_allclose(actual, golden[key], rtol=1e-3, atol=1e-3 * largest, err_msg=key)
        mean = golden[f"eval_mean/{module}"]
        np.testing.assert_allclose(
            value.mean(axis=(1, 2, 3)), mean, rtol=1e-4, atol=1e-5 * np.abs(mean).max(), err_msg=module
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x3d_tiny", "x3d_tiny_slowfast_repository"])
def test_a_training_step_changes_what_it_changes_in_the_authors_code(name):
    # One of them as if activations were short of memory.
    model, golden = build(name, remat="blocks" if name == "x3d_tiny" else "none"), load(name)
    variables, _ = load_torch(model, weights(name))
    labels = golden["labels"].astype(np.int32)

    def loss(params, clips):
        logits, updates = model.apply({**variables, "params": params}, clips, train=True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), (logits, updates)

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (logits, updates)), gradients = step(variables["params"], goldens.slowfast_video(golden))
    np.testing.assert_allclose(value, golden["train/loss"], rtol=1e-4)
    np.testing.assert_allclose(logits, golden["train/logits"], rtol=1e-4, atol=1e-4)
    gradients, buffers = to_torch(model, {"params": gradients}), to_torch(model, updates)
    of_norms = dict(zip(golden["train/grad_norm_names"].tolist(), golden["train/grad_norms"], strict=True))
    assert of_norms.keys() == gradients.keys()
    for entry, norm in of_norms.items():
        np.testing.assert_allclose(np.linalg.norm(gradients[entry]), norm, rtol=1e-3, err_msg=entry)
    of_buffers = dict(zip(golden["train/buffer_norm_names"].tolist(), golden["train/buffer_norms"], strict=True))
    assert of_buffers.keys() == buffers.keys()
    for entry, norm in of_buffers.items():
        np.testing.assert_allclose(np.linalg.norm(buffers[entry]), norm, rtol=1e-4, err_msg=entry)
    for entry in golden:
        if entry.startswith("train/grad/"):
            goldens.assert_gradient_matches(golden, entry, gradients[entry.removeprefix("train/grad/")])
        elif entry.startswith("train/buffer/"):
            actual = buffers[entry.removeprefix("train/buffer/")]
            np.testing.assert_allclose(actual, golden[entry], rtol=1e-4, atol=1e-5, err_msg=entry)


@pytest.mark.slow
def test_larger_clips_are_classified_square_by_square_as_the_slowfast_repository_does():
    name = "x3d_tiny_slowfast_repository"
    model, golden = build(name, pool_size=64), load(name)
    variables, _ = load_torch(model, weights(name))
    logits = jax.jit(model.apply)(variables, goldens.slowfast_video(golden, "test/input_"))
    np.testing.assert_allclose(jax.nn.softmax(logits), golden["test/probabilities"], rtol=1e-4)
    np.testing.assert_allclose(jnp.exp(logits), golden["test/probabilities"], rtol=1e-4)


@pytest.mark.slow
def test_behind_motion_prompts_it_computes_what_the_authors_parts_do():
    golden = load("x3d_tiny_motion_prompt")
    model = build(
        "x3d_tiny",
        input_adapter="motion_prompt",
        prompt_regularization=float(golden["lambda"]),
        prompt_grey_weights="bgr",
    )
    prompt = {"vmps.m": golden["m"].reshape(1), "vmps.n": golden["n"].reshape(1)}
    prefixed = {f"model.{entry}": value for entry, value in weights("x3d_tiny").items()}
    variables, report = load_torch(model, prefixed | prompt)
    assert report.complete
    labels = golden["labels"].astype(np.int32)

    def loss(prompt, clips):
        params = {**variables["params"], "prompt": prompt}
        logits, state = model.apply({**variables, "params": params}, clips, mutable=["losses"])
        regularization = jnp.mean(state["losses"]["prompt"]["attention_variation"][0])
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return cross_entropy + regularization, (logits, regularization)

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    clips = goldens.slowfast_video(golden)
    (total, (logits, regularization)), gradients = step(variables["params"]["prompt"], clips)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(regularization, golden["regularization"], rtol=1e-4)
    np.testing.assert_allclose(total, golden["total_loss"], rtol=1e-4)
    for number in "mn":
        np.testing.assert_allclose(gradients[number], golden[f"grad/{number}"].item(), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x3d_xs", "x3d_m", "x3d_m_slowfast_repository"])
def test_the_full_networks_give_the_authors_logits(name):
    model_name = name.removesuffix("_slowfast_repository")
    model, golden = motion_vit.create_model(model_name, stride_norm=name != model_name), load(name)
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}
    drawn = {
        entry.name: goldens.weight(entry.name, entry.layout.torch_shape(shapes[path]))
        for path, entry in torch_entries(model, shapes).items()
    }
    variables, _ = load_torch(model, drawn)
    logits = jax.jit(model.apply)(variables, goldens.slowfast_video(golden))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4 * np.abs(golden["logits"]).max())
