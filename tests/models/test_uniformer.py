"""Behaviour of the whole backbone on tiny models; its numbers are compared with the authors' in the golden tests."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_variables import drawn_variables
from flax import traverse_util

import motion_vit

TINY = {"widths": (8, 8, 16, 16), "depths": (1, 1, 2, 2), "head_channels": 8, "num_classes": 5, "window": 3}


def tiny(**options):
    return motion_vit.create_model("uniformer_emim_tiny", **TINY | options)


CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 3, 32, 64, 3)).astype(np.float32))


variables_of = functools.cache(drawn_variables)


@functools.cache
def lowered(**options):
    """The program that classifies the clips with the weights of a model without options."""
    return jax.jit(tiny(**options).apply).lower(variables_of(tiny()), CLIPS)


@functools.cache
def classified(**options):
    """The logits of the clips by the weights of a model without options."""
    return np.asarray(lowered(**options).compile()(variables_of(tiny()), CLIPS))


def test_logits_are_float32_for_clips_of_any_shape():
    logits = classified(dtype="bfloat16")
    assert (logits.shape, logits.dtype) == ((2, 5), np.float32)
    assert np.isfinite(logits).all()


def test_bfloat16_is_close_to_float32():
    # Normalised features of size one carry two or three decimal digits in bfloat16; the logits of a fresh head are
    # small.
    expected = classified()
    np.testing.assert_allclose(classified(dtype="bfloat16"), expected, atol=0.2 * expected.std())


@pytest.mark.fast_cases("gl-*", "stage3-*")
@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("lg", {"stage3/block0", "stage4/block0"}),
        ("gl", {"stage3/block1", "stage4/block1"}),
        ("ll", {"stage3/block0", "stage3/block1", "stage4/block0", "stage4/block1"}),
        ("gg", set()),
        ("stage3", {"stage3/block0"}),
        ("stage4", {"stage4/block0"}),
    ],
)
def test_placement_decides_which_blocks_hold_cost_volumes(placement, expected):
    model = tiny(placement=placement)
    _, intermediates = jax.eval_shape(
        lambda clips: motion_vit.apply_with_intermediates(model, model.init(jax.random.key(0), clips), clips), CLIPS
    )
    blocks = {name.rsplit("/", 2)[0] for name in intermediates if name.endswith("cost_volume")}
    assert blocks == expected


def test_intermediates_have_their_documented_shapes_and_leave_the_logits_alone():
    model = tiny()
    look_inside = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    logits, intermediates = look_inside(variables_of(model), CLIPS)
    np.testing.assert_allclose(logits, classified(), rtol=1e-5, atol=1e-6)
    shapes = {name: value.shape for name, value in intermediates.items()}
    assert shapes == {
        "patch_embed1_output": (2, 3, 8, 16, 8),
        "stage1/block0_output": (2, 3, 8, 16, 8),
        "patch_embed2_output": (2, 3, 4, 8, 8),
        "stage2/block0_output": (2, 3, 4, 8, 8),
        "patch_embed3_output": (2, 3, 2, 4, 16),
        "stage3/block0/attention/cost_volume": (2, 2, 2, 4, 2, 9),
        "stage3/block0_output": (2, 3, 2, 4, 16),
        "stage3/block1/attention/query": (2, 24, 2, 8),
        "stage3/block1/attention/key": (2, 24, 2, 8),
        "stage3/block1/attention/attention_weights": (2, 2, 24, 24),
        "stage3/block1_output": (2, 3, 2, 4, 16),
        "patch_embed4_output": (2, 3, 1, 2, 16),
        "stage4/block0/attention/cost_volume": (2, 2, 1, 2, 2, 9),
        "stage4/block0_output": (2, 3, 1, 2, 16),
        "stage4/block1/attention/query": (2, 6, 2, 8),
        "stage4/block1/attention/key": (2, 6, 2, 8),
        "stage4/block1/attention/attention_weights": (2, 2, 6, 6),
        "stage4/block1_output": (2, 3, 1, 2, 16),
        "norm_output": (2, 3, 1, 2, 16),
    }
    weights = intermediates["stage3/block1/attention/attention_weights"]
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_the_stem_can_halve_the_frames():
    model = tiny(stem_temporal_stride=2, placement="gg", depths=(1, 1, 1, 1))
    shape = jax.eval_shape(
        lambda clips: motion_vit.apply_with_intermediates(model, model.init(jax.random.key(0), clips), clips), CLIPS
    )[1]["patch_embed1_output"].shape
    assert shape == (2, 2, 8, 16, 8)


def test_patch_sizes_set_the_resolution_of_the_stages():
    model = tiny(patch_sizes=(4, 1, 2, 1), depths=(1, 1, 1, 1))
    shapes = jax.eval_shape(
        lambda clips: motion_vit.apply_with_intermediates(model, model.init(jax.random.key(0), clips), clips), CLIPS
    )[1]
    rows_and_columns = [shapes[f"patch_embed{stage}_output"].shape[2:4] for stage in (1, 2, 3, 4)]
    assert rows_and_columns == [(8, 16), (8, 16), (4, 8), (4, 8)]


@pytest.mark.fast_cases("{'layer_scale': 1e-05}")
@pytest.mark.parametrize(
    "options",
    [
        {"motion_branch": False},
        {"position_bias": False},
        {"motion_input": "softmax"},
        {"frame_offset": 2},
        {"neighbours": "both"},
        {"layer_scale": 1e-5},
        {"window": 5},
    ],
    ids=str,
)
def test_every_ablation_trains(options):
    model = tiny(**options)

    def loss(params, variables):
        logits, _ = model.apply({**variables, "params": params}, CLIPS, train=True, mutable=["batch_stats"])
        return jnp.sum(logits**2)

    variables = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    gradients = jax.eval_shape(jax.grad(loss), variables["params"], variables)
    assert jax.tree.map(jnp.shape, gradients) == jax.tree.map(jnp.shape, variables["params"])


def gradients(model):
    start = variables_of(tiny())

    def loss(params):
        variables = {**start, "params": params}
        logits, _ = model.apply(variables, CLIPS, train=True, mutable=["batch_stats"])
        return jnp.sum(logits**2)

    return jax.jit(jax.grad(loss))(start["params"])


def assert_close(actual, expected):
    chex.assert_trees_all_close(actual, expected, rtol=1e-3, atol=1e-5)


def test_every_parameter_belongs_to_one_layer():
    model = tiny(depths=(2, 1, 3, 1))
    shapes = jax.eval_shape(model.init, jax.random.key(0), CLIPS)["params"]
    layers = model.layer_patterns()
    assert len(layers) == sum(model.depths) + 1
    numbers = {}
    for path in traverse_util.flatten_dict(shapes, sep="/"):
        (numbers[path],) = [number for number, layer in enumerate(layers) if re.fullmatch(layer, path)]
    assert set(numbers.values()) == set(range(len(layers)))
    first = {stage: numbers[f"stage{stage}/block0/position/kernel"] for stage in (1, 2, 3, 4)}
    assert first == {1: 0, 2: 2, 3: 3, 4: 6}
    assert all(numbers[f"patch_embed{stage}/proj/kernel"] == layer for stage, layer in first.items())
    assert numbers["head/kernel"] == numbers["norm/scale"] == len(layers) - 1


class TestTraining:
    @pytest.mark.slow
    def test_random_draws_follow_the_key(self):
        model = tiny(stochastic_depth=0.5, dropout=0.1)
        variables = variables_of(model)

        @jax.jit
        def step(key):
            return model.apply(variables, CLIPS, train=True, rngs={"dropout": key}, mutable=["batch_stats"])[0]

        first, again, other = (step(jax.random.key(seed)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 1e-4

    def test_evaluation_is_deterministic_and_needs_no_key(self):
        regularised = lowered(stochastic_depth=0.5, dropout=0.1)
        assert regularised.as_text() == lowered().as_text()

    @pytest.mark.slow
    def test_rematerialisation_changes_nothing_but_memory(self):
        plain, recomputed = (gradients(tiny(remat=remat)) for remat in ("none", "blocks"))
        assert_close(recomputed, plain)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 32, 32), r"\[batch, frames, height, width, 3\]"),
        ((1, 3, 16, 32, 3), "at least 32 x 32"),
        ((1, 1, 32, 32, 3), "at least 2 frames"),
    ],
)
def test_clips_that_cannot_be_classified_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tiny().init, jax.random.key(0), np.zeros(shape, np.float32))
