"""R3D, MC3, R(2+1)D and I3D-ResNet-18 against their authors' code: activations, logits, and what training changes."""

import functools

import goldens
import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.name_rules import torch_entry
from motion_vit.interop.families.registry import model_family
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.checked_model import variable_shapes

ONE_BLOCK = {"depths": (1, 1, 1, 1), "frames": 8, "image_size": 32}
TINY = {
    "r3d_tiny": ("r3d_18", ONE_BLOCK),
    "mc3_tiny": ("mc3_18", ONE_BLOCK),
    "r2plus1d_tiny": ("r2plus1d_18", ONE_BLOCK),
    "i3d_resnet18_tiny": ("i3d_resnet18", {"image_size": 64}),
    "i3d_resnet18_m2a_tiny": ("i3d_resnet18_m2a", {"image_size": 64}),
}


def build(name, **options):
    network, tiny = TINY[name]
    return motion_vit.create_model(network, num_classes=10, **tiny, **options)


@functools.cache
def variables_of(name):
    variables, report = load_torch(build(name), goldens.video_resnet_weights(name))
    assert report.complete
    return variables


def load(name):
    return goldens.load(f"video_resnet/{name}")


def to_torch(model, tree):
    """Arrays of a params or batch_stats tree under PyTorch's names, in its layouts."""
    flat = {path: np.asarray(value) for path, value in traverse_util.flatten_dict(tree, sep="/").items()}
    rules = model_family(model).rules(model)
    entries = {path: torch_entry(rules, path) for path in flat}
    return {entries[path].name: entries[path].layout.to_torch(value) for path, value in flat.items()}


def own_name(model, module):
    """The intermediate that a module of the authors' code gives; "" for the inside of a block."""
    if module in ("stem", "maxpool"):
        return "stem_output"
    stage = module.removeprefix("layer")
    return f"stage{stage}/block{model.depths[int(stage) - 1] - 1}_output" if stage.isdigit() else ""


@pytest.mark.fast_cases("mc3_tiny")
@pytest.mark.parametrize("name", TINY)
def test_every_stage_and_the_logits_are_those_of_the_authors(name):
    model, golden = build(name), load(name)
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    logits, intermediates = run(variables_of(name), goldens.video_resnet_video(golden))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)
    modules = [entry.removeprefix("eval/") for entry in golden if entry.startswith("eval/")]
    compared = {module: own for module in modules if (own := own_name(model, module))}
    assert len(compared) == 5
    for module, own in compared.items():
        value, stored = np.asarray(intermediates[own]), golden[f"eval/{module}"]
        thinned = value[:1, ..., :: int(golden[f"eval_stride/{module}"])]
        np.testing.assert_allclose(thinned, stored, rtol=1e-3, atol=1e-3 * np.abs(stored).max(), err_msg=module)
        mean = golden[f"eval_mean/{module}"]
        np.testing.assert_allclose(
            value.mean(axis=(1, 2, 3)), mean, rtol=1e-4, atol=1e-5 * np.abs(mean).max(), err_msg=module
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_training_step_changes_what_it_changes_in_the_authors_code(name):
    # One of them as if activations were short of memory.
    model, golden = build(name, remat="blocks" if name == "mc3_tiny" else "none"), load(name)
    variables = variables_of(name)
    labels = golden["labels"].astype(np.int32)

    def loss(params, clips):
        logits, updates = model.apply({**variables, "params": params}, clips, train=True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), (logits, updates)

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (logits, updates)), gradients = step(variables["params"], goldens.video_resnet_video(golden))
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
        # Of R(2+1)D, a few inputs of ReLU lie so close to zero that float32 takes some for others: 6e-3 of a gradient.
        if entry.startswith("train/grad/") and name != "r2plus1d_tiny":
            goldens.assert_gradient_matches(golden, entry, gradients[entry.removeprefix("train/grad/")])
        elif entry.startswith("train/buffer/"):
            actual = buffers[entry.removeprefix("train/buffer/")]
            np.testing.assert_allclose(actual, golden[entry], rtol=1e-4, atol=1e-5, err_msg=entry)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18", "i3d_resnet18", "i3d_resnet18_m2a"])
def test_the_full_networks_give_the_authors_logits(name):
    golden = load(name)
    model = motion_vit.create_model(name, num_classes=golden["logits"].shape[-1])
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}
    rules = model_family(model).rules(model)
    entries = {path: torch_entry(rules, path) for path in shapes}
    drawn = {
        entry.name: goldens.weight(entry.name, entry.layout.torch_shape(shapes[p])) for p, entry in entries.items()
    }
    variables, _ = load_torch(model, drawn)
    logits = jax.jit(model.apply)(variables, goldens.video_resnet_video(golden))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4 * np.abs(golden["logits"]).max())
