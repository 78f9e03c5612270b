"""SlowFast, Slow, C2D and I3D against the authors' code: activations, logits, and all that a training step changes."""

import functools
import re

import goldens
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.families.name_rules import torch_entry
from motion_vit.interop.families.registry import model_family
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.checked_model import variable_shapes
from motion_vit.models.slowfast import slow_frames

ONE_PATHWAY = {"fast_pathway": False, "depths": (1, 2, 2, 2), "frames": 4}
TINY = {
    "slowfast_tiny": {"depths": (1, 2, 2, 1), "channel_ratio": 8, "lateral_kernel": 7},
    "slow_tiny": ONE_PATHWAY,
    "c2d_tiny": ONE_PATHWAY | {"temporal_convolutions": "none", "temporal_pool": True},
    "i3d_tiny": ONE_PATHWAY | {"temporal_convolutions": "alternating", "temporal_pool": True},
}


def build(name, **options):
    return motion_vit.create_model("slowfast_tiny", **TINY[name] | options)


@functools.cache
def weights(name):
    return {
        entry: goldens.weight(entry, tuple(shape)) for entry, shape in goldens.slowfast_names("shapes")[name].items()
    }


def load(name):
    return goldens.load(f"slowfast/{name}")


def to_torch(model, tree):
    """Arrays of a params or batch_stats tree under PyTorch's names, in its layouts."""
    flat = {path: np.asarray(value) for path, value in traverse_util.flatten_dict(tree, sep="/").items()}
    rules = model_family(model).rules(model)
    entries = {path: torch_entry(rules, path) for path in flat}
    return {entries[path].name: entries[path].layout.to_torch(value) for path, value in flat.items()}


def outputs_of_blocks(model, intermediates):
    """The intermediates that the authors' modules give, by the names of these: what enters the next stage."""
    found = {}
    for pathway in ("slow_", "fast_") if model.fast_pathway else ("",):
        for stage in range(5):
            place = f"stage{stage}" if stage else "stem"
            name = f"{pathway}{place}/block{model.depths[stage - 1] - 1}_output" if stage else f"{pathway}stem_output"
            value = intermediates[name]
            if pathway == "slow_" and stage < 4:
                value = np.concatenate([value, intermediates[f"lateral_{place}_output"]], axis=-1)
            number = stage + (model.temporal_pool and stage > 1)
            found[f"blocks.{number}{f'/{pathway[:-1]}' if pathway else ''}"] = value
    if model.temporal_pool:
        found["blocks.2"] = intermediates["temporal_pool_output"]
    if model.fast_pathway:
        found["blocks.5"] = intermediates["features_output"].mean(axis=(1, 2, 3), keepdims=True)
    return found


@pytest.mark.fast_cases("i3d_tiny")
@pytest.mark.parametrize("name", TINY)
def test_every_stage_and_the_logits_are_those_of_the_authors(name):
    model, golden = build(name), load(name)
    variables, report = load_torch(model, weights(name))
    assert report.complete
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    logits, intermediates = run(variables, goldens.slowfast_video(golden))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)
    outputs = outputs_of_blocks(model, {key: np.asarray(value) for key, value in intermediates.items()})
    assert set(outputs) == {entry.removeprefix("eval/") for entry in golden if entry.startswith("eval/")}
    for module, value in outputs.items():
        stored = golden[f"eval/{module}"]
        thinned = value[:1, ..., :: int(golden[f"eval_stride/{module}"])]
        np.testing.assert_allclose(thinned, stored, rtol=1e-3, atol=1e-3 * np.abs(stored).max(), err_msg=module)
        mean = golden[f"eval_mean/{module}"]
        np.testing.assert_allclose(
            value.mean(axis=(1, 2, 3)), mean, rtol=1e-4, atol=1e-5 * np.abs(mean).max(), err_msg=module
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slowfast_tiny", "i3d_tiny", "slow_tiny", "c2d_tiny"])
def test_a_training_step_changes_what_it_changes_in_the_authors_code(name):
    # Half of them as if activations were short of memory.
    model, golden = build(name, remat="blocks" if name in ("i3d_tiny", "slow_tiny") else "none"), load(name)
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


@pytest.mark.fast_cases("c2d_tiny")
@pytest.mark.parametrize("name", ["slowfast_tiny", "c2d_tiny"])
def test_larger_clips_are_classified_square_by_square_as_the_slowfast_repository_does(name):
    model, golden = build(name, pool_size=64), load(name)
    variables, _ = load_torch(model, weights(name))
    logits = jax.jit(model.apply)(variables, goldens.slowfast_video(golden, "test/input_"))
    np.testing.assert_allclose(jax.nn.softmax(logits), golden["test/probabilities"], rtol=1e-4)
    np.testing.assert_allclose(jnp.exp(logits), golden["test/probabilities"], rtol=1e-4)


def test_the_slow_pathway_sees_the_authors_frames():
    tables = {name: value for name, value in load("slowfast_tiny").items() if name.startswith("slow_index/")}
    assert len(tables) == 6
    for name, table in tables.items():
        frames, ratio = map(int, re.findall(r"\d+", name))
        assert slow_frames(frames, ratio) == tuple(table.tolist())


@pytest.mark.slow
def test_behind_motion_prompts_it_computes_what_the_authors_parts_do():
    golden = load("slowfast_tiny_motion_prompt")
    model = build(
        "slowfast_tiny",
        input_adapter="motion_prompt",
        prompt_regularization=float(golden["lambda"]),
        prompt_grey_weights="bgr",
    )
    prompt = {"vmps.m": golden["m"].reshape(1), "vmps.n": golden["n"].reshape(1)}
    prefixed = {f"model.{entry}": value for entry, value in weights("slowfast_tiny").items()}
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
@pytest.mark.parametrize("name", ["slowfast_4x16_r50", "slowfast_8x8_r50", "c2d_8x8_r50", "i3d_8x8_r50"])
def test_the_full_networks_give_the_authors_logits(name):
    model, golden = motion_vit.create_model(name), load(name)
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variable_shapes(model), sep="/").items()}
    rules = model_family(model).rules(model)
    entries = {path: torch_entry(rules, path) for path in shapes}
    drawn = {
        entry.name: goldens.weight(entry.name, entry.layout.torch_shape(shapes[p])) for p, entry in entries.items()
    }
    variables, _ = load_torch(model, drawn)
    logits = jax.jit(model.apply)(variables, goldens.slowfast_video(golden))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4 * np.abs(golden["logits"]).max())
