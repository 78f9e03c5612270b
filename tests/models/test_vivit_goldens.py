"""ViViT against its authors' Flax code, in all four models, and against Hugging Face's: activations and a step."""

import functools

import goldens
import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.interop.exporting.pytorch import torch_state_dict
from motion_vit.interop.families.vivit import scenic_arrays
from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.models.inspection import measure_costs

# scenic's names of the models, and the options that make them here.
MODELS = {
    "spacetime": {},
    "factorized_encoder": {"attention": "factorised_encoder"},
    "factorized_self_attention_block": {"attention": "factorised_self_attention", "pooling": "mean"},
    "factorized_dot_product_attention": {"attention": "factorised_dot_product", "pooling": "mean", "heads": 4},
}


@functools.cache
def compute(network):
    """All that a golden file has of a tiny network with its weights: activations, and a training step."""
    model = motion_vit.create_model("vivit_tiny", **MODELS.get(network, {}))
    variables, report = load_torch(model, goldens.vivit_weights(network))
    assert report.complete
    golden = golden_of(network)
    clips = jax.device_put(goldens.seeded_video(int(golden["video_seed"]), tuple(golden["video_shape"])))
    labels = golden["labels"]

    @jax.jit
    def run(params):
        def loss(params):
            logits, inside = motion_vit.apply_with_intermediates(model, {"params": params}, clips)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), (logits, inside)

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, (logits, inside)), gradients = run(variables["params"])
    flat = {path: np.asarray(leaf) for path, leaf in traverse_util.flatten_dict({"params": gradients}, sep="/").items()}
    named = torch_state_dict(model, flat, step=0) if network == "huggingface" else scenic_arrays(model, flat)
    return np.asarray(logits), {name: np.asarray(value) for name, value in inside.items()}, float(loss), named


def golden_of(network):
    if network == "huggingface":
        return goldens.load("vivit/hf_tiny")
    every = goldens.load("vivit/scenic_tiny")
    of_all = {name: value for name, value in every.items() if "/" not in name}
    return of_all | {
        name.removeprefix(f"{network}/"): value for name, value in every.items() if name.startswith(f"{network}/")
    }


@pytest.mark.fast_cases("factorized_encoder", "factorized_dot_product_attention")
@pytest.mark.parametrize("network", [*MODELS, "huggingface"])
def test_logits_are_those_of_the_other_code(network):
    np.testing.assert_allclose(compute(network)[0], golden_of(network)["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.fast_cases("factorized_encoder", "factorized_dot_product_attention")
@pytest.mark.parametrize("network", [*MODELS, "huggingface"])
def test_a_training_step_is_that_of_the_other_code(network):
    golden = golden_of(network)
    _, _, loss, gradients = compute(network)
    np.testing.assert_allclose(loss, golden["train/loss"], rtol=1e-5)
    norms = dict(zip(golden["train/grad_norm_names"].tolist(), golden["train/grad_norms"], strict=True))
    assert norms.keys() == gradients.keys()
    found = [np.linalg.norm(gradients[name]) for name in norms]
    # Biases of keys change no attention: their gradients are zero but for rounding.
    np.testing.assert_allclose(found, list(norms.values()), rtol=1e-4, atol=1e-6 * max(norms.values()))
    arrays = [name for name in golden if name.startswith("train/grad/") and not name.endswith(":norm")]
    assert len(arrays) > 5
    for name in arrays:
        goldens.assert_gradient_matches(golden, name, gradients[name.removeprefix("train/grad/")])


@pytest.mark.fast_cases("factorized_dot_product_attention-*")
@pytest.mark.parametrize(
    ("network", "name", "shown", "shape"),
    [
        ("spacetime", "Transformer/encoderblock_0", "blocks/block0_output", (1, 65, 96)),
        ("factorized_self_attention_block", "Transformer/encoderblock_0", "blocks/block0_output", (1, 64, 96)),
        ("factorized_self_attention_block", "Transformer", "norm_output", (1, 64, 96)),
        ("factorized_dot_product_attention", "Transformer/encoderblock_0", "blocks/block0_output", (1, 4, 16, 96)),
        ("factorized_dot_product_attention", "Transformer", "norm_output", (1, 64, 96)),
        ("huggingface", "hidden_states.0", "embedding_output", (1, 65, 96)),
        ("huggingface", "hidden_states.1", "blocks/block0_output", (1, 65, 96)),
        ("huggingface", "hidden_states.2", "blocks/block1_output", (1, 65, 96)),
    ],
)
def test_activations_are_those_of_the_other_code(network, name, shown, shape):
    tokens = compute(network)[1][shown][:1].reshape(shape)
    goldens.assert_matches(golden_of(network), f"eval/{name}", tokens, rtol=1e-4, atol=1e-5)


def test_the_class_token_of_the_temporal_encoder_is_that_of_the_authors():
    expected = golden_of("factorized_encoder")["eval/TemporalTransformer"][:, 0]
    np.testing.assert_allclose(compute("factorized_encoder")[1]["norm_output"][:1], expected, rtol=1e-4, atol=1e-5)


# With 400 classes and clips of 32 x 224 x 224: B by the authors' code, L as the widths and depths of its configuration
# make it, to which published weights of about 355 and 607 million belong.
COSTS = {
    "vivit_b": ({}, 88_954_000, 451.5),
    "vivit_b_factorised": ({}, 115_062_928, 283.3),
    "vivit_l_factorised": ({}, 354_903_440, None),
    "vivit_l_factorised, 24 temporal blocks": ({"temporal_depth": 24}, 606_827_920, None),
}


@pytest.mark.fast_cases("vivit_b_factorised")
@pytest.mark.parametrize("name", COSTS)
def test_published_sizes_cost_what_the_authors_do(name):
    options, parameters, giga = COSTS[name]
    costs = measure_costs(motion_vit.create_model(name.partition(",")[0], **options)).values()
    assert sum(cost.parameters for cost in costs) == parameters
    if giga is not None:
        assert sum(cost.multiply_adds for cost in costs) / 1e9 == pytest.approx(giga, rel=5e-3)
