"""MobileNetV2 as TSN, TSM and M2A against the authors' code: activations, logits, and a whole training step."""

import functools

import goldens
import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.registry import torch_entries
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.checked_model import variable_shapes

PLACES = {"features.0": "stem_output", "features.18": "last_output"} | {
    f"features.{number}": f"stage{stage}/block{block}_output"
    for number, (stage, block) in enumerate(
        ((stage, block) for stage, depth in enumerate((1, 2, 3, 4, 3, 3, 1), start=1) for block in range(depth)),
        start=1,
    )
}
"""Where the authors' modules are here."""


def load(name):
    golden = goldens.load(f"mobilenetv2/{name}")
    video = goldens.seeded_video(int(golden["input/seed"]), tuple(golden["input/shape"]))
    np.testing.assert_array_equal(video.ravel()[:8], golden["input/first"])
    return golden, jax.device_put(video)


def build(name, **options):
    return motion_vit.create_model(f"mobilenetv2_{name.removesuffix('_tiny')}", **options)


@functools.cache
def weights(name, num_classes):
    """The random weights by the authors' names, which a training step's gradients and statistics tell."""
    model = build(name, num_classes=num_classes)
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}
    entries = torch_entries(model, shapes)
    return {
        entry.name: goldens.weight(entry.name, entry.layout.torch_shape(shapes[path]))
        for path, entry in entries.items()
    }


def to_torch(model, tree):
    """Arrays of a params or batch_stats tree under the authors' names, in their layouts."""
    flat = {path: np.asarray(value) for path, value in traverse_util.flatten_dict(tree, sep="/").items()}
    entries = torch_entries(model, flat)
    return {entries[path].name: entries[path].layout.to_torch(value) for path, value in flat.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tsn_tiny", "tsm_tiny", "m2a_tiny"])
def test_every_stage_and_the_logits_are_those_of_the_authors(name):
    model, (golden, clips) = build(name, num_classes=10, image_size=64), load(name)
    variables, report = load_torch(model, weights(name, 10))
    assert report.complete
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    logits, intermediates = run(variables, clips)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)
    found = {module: np.asarray(intermediates[place]) for module, place in PLACES.items()}
    if name == "m2a_tiny":
        entering = found["features.2"]
        found["features.3.m2a"] = entering + entering * intermediates["stage2/block1/motion/gate"]
    modules = [entry.removeprefix("eval/") for entry in golden if entry.startswith("eval/")]
    assert len(modules) == (11 if name == "m2a_tiny" else 10)
    for module in modules:
        stored = golden[f"eval/{module}"]
        thinned = found[module][:1, ..., :: int(golden[f"eval_stride/{module}"])]
        np.testing.assert_allclose(thinned, stored, rtol=1e-3, atol=1e-3 * np.abs(stored).max(), err_msg=module)
        mean = golden[f"eval_mean/{module}"]
        np.testing.assert_allclose(
            found[module].mean(axis=(1, 2, 3)), mean, rtol=1e-4, atol=1e-5 * np.abs(mean).max(), err_msg=module
        )


# Whose layers are those of TSN, and more.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["tsm_tiny", "m2a_tiny"])
def test_a_training_step_changes_what_it_changes_in_the_authors_code(name):
    model, (golden, clips) = build(name, num_classes=10, image_size=64), load(name)
    variables, _ = load_torch(model, weights(name, 10))
    labels = golden["labels"].astype(np.int32)

    def loss(params, clips):
        logits, updates = model.apply({**variables, "params": params}, clips, train=True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), (logits, updates)

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (logits, updates)), gradients = step(variables["params"], clips)
    np.testing.assert_allclose(value, golden["train/loss"], rtol=1e-4)
    np.testing.assert_allclose(logits, golden["train/logits"], rtol=1e-4, atol=1e-4)
    gradients, buffers = to_torch(model, {"params": gradients}), to_torch(model, updates)
    of_buffers = dict(zip(golden["train/buffer_norm_names"].tolist(), golden["train/buffer_norms"], strict=True))
    assert of_buffers.keys() == buffers.keys()
    for entry, norm in of_buffers.items():
        np.testing.assert_allclose(np.linalg.norm(buffers[entry]), norm, rtol=1e-4, err_msg=entry)
    for entry in (entry for entry in golden if entry.startswith("train/buffer/")):
        actual = buffers[entry.removeprefix("train/buffer/")]
        np.testing.assert_allclose(actual, golden[entry], rtol=1e-4, atol=1e-5, err_msg=entry)
    # On which side of 0 and 6 a few inputs of ReLU6 lie, float32 cannot tell: gradients are compared by their norms.
    # Biases of projections that only meet another BatchNorm have none but rounding noise.
    of_norms = dict(zip(golden["train/grad_norm_names"].tolist(), golden["train/grad_norms"], strict=True))
    assert of_norms.keys() == gradients.keys()
    largest = max(of_norms.values())
    for entry, norm in of_norms.items():
        np.testing.assert_allclose(
            np.linalg.norm(gradients[entry]), norm, rtol=5e-2, atol=1e-6 * largest, err_msg=entry
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tsn", "tsm"])
def test_the_full_networks_give_the_authors_logits(name):
    model, (golden, clips) = build(name, num_classes=174), load(name)
    variables, _ = load_torch(model, weights(name, 174))
    logits = jax.jit(model.apply)(variables, clips)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4 * np.abs(golden["logits"]).max())
