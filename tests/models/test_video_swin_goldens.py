"""Video Swin against torchvision, with whose logits the authors' code agrees: activations, logits, a training step."""

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

WINDOWS = {"window877": (8, 7, 7), "window244": (2, 4, 4), "window877_odd": (8, 7, 7)}
# "window877_odd" has the weights of "window877".
WEIGHTS = {"window877": "window877", "window244": "window244", "window877_odd": "window877"}
ACTIVATIONS = {
    "patch_embed": "embedding_output",
    "features.0": "stage1/block1_output",
    "features.1": "merging2_output",
    "features.2": "stage2/block1_output",
    "features.3": "merging3_output",
    "features.4": "stage3/block1_output",
    "norm": "norm_output",
}


@functools.cache
def build(case):
    """The tiny model with the weights of a golden file, the file, and its clips."""
    model = motion_vit.create_model("video_swin_tiny", attention_window=WINDOWS[case])
    variables, report = load_torch(model, goldens.video_swin_state_dict(WEIGHTS[case]))
    assert report.complete
    golden = goldens.load(f"video_swin/{case}")
    video = goldens.seeded_video(int(golden["video_seed"]), tuple(golden["video_shape"]))
    return model, variables, golden, jax.device_put(video)


@pytest.mark.fast_cases("window877")
@pytest.mark.parametrize("case", ["window877", "window877_odd"])
def test_activations_and_logits_are_those_of_torchvision(case):
    model, variables, golden, clips = build(case)
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    logits, inside = jax.device_get(run(variables, clips))
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-5)
    found = {part: inside[name][:1] for part, name in ACTIVATIONS.items() if f"eval/{part}" in golden}
    assert {"features.0", "features.4"} <= found.keys()
    for part, tokens in found.items():
        # Of maps of more than 20 000 numbers, every second row and column is in the golden.
        tokens = tokens[:, :, ::2, ::2] if tokens.size > 20_000 else tokens
        goldens.assert_matches(golden, f"eval/{part}", tokens, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["window877", "window244"])
def test_a_training_step_is_that_of_torchvision(case):
    model, variables, golden, clips = build(case)

    @jax.jit
    def step(params):
        def loss(params):
            logits = model.apply({"params": params}, clips, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, golden["labels"]).mean()

        return jax.value_and_grad(loss)(params)

    loss, gradients = step(variables["params"])
    assert float(loss) == pytest.approx(float(golden["train/loss"]), rel=1e-6)
    flat = traverse_util.flatten_dict({"params": gradients}, sep="/")
    named = torch_state_dict(model, {path: np.asarray(value) for path, value in flat.items()}, step=0)
    norms = dict(zip(golden["train/grad_norm_names"].tolist(), golden["train/grad_norms"], strict=True))
    assert norms.keys() == named.keys()
    found = {name: np.linalg.norm(named[name]) for name in norms}
    np.testing.assert_allclose(list(found.values()), list(norms.values()), rtol=1e-4)
    arrays = [name for name in golden if name.startswith("train/grad/") and not name.endswith(":norm")]
    assert arrays
    for name in arrays:
        goldens.assert_gradient_matches(golden, name, named[name.removeprefix("train/grad/")])
    for name in golden:
        if name.startswith("train/grad_of_rows/"):
            table = name.removeprefix("train/grad_of_rows/")
            rows = golden[f"train/grad_rows/{table}"][::5]
            goldens.assert_gradient_matches(golden, name, named[table][rows])


# Of the authors' code with 400 classes and clips of 32 x 224 x 224, multiply-adds of PyTorch's counter.
COSTS = {
    "video_swin_t": (28_158_070, 87.8),
    "video_swin_s": (49_816_678, 165.7),
    "video_swin_b": (88_048_984, 281.3),
}


@pytest.mark.fast_cases("video_swin_t")
@pytest.mark.parametrize("name", COSTS)
def test_published_sizes_cost_what_the_authors_do(name):
    costs = measure_costs(motion_vit.create_model(name)).values()
    assert sum(cost.parameters for cost in costs) == COSTS[name][0]
    assert sum(cost.multiply_adds for cost in costs) / 1e9 == pytest.approx(COSTS[name][1], rel=5e-3)


def test_the_weights_of_swin_t_are_those_of_torchvision():
    model = motion_vit.create_model("video_swin_t")
    leaves = traverse_util.flatten_dict(variable_shapes(model), sep="/")
    entries = torch_entries(model, leaves)
    found = {entry.name: list(entry.layout.torch_shape(leaves[path].shape)) for path, entry in entries.items()}
    assert found == goldens.video_swin_names("shapes")["video_swin_t"]
