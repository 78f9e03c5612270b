"""What X3D promises, on shapes where that is enough."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.models.inspection import measure_costs
from motion_vit.models.x3d import scaled_depths, scaled_width, scaled_widths

CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 33, 32, 3)).astype(np.float32))
SMALLEST = {
    **{"widths": (8, 8, 8, 16), "depths": (2, 1, 1, 1), "inner_ratio": 1.5, "head_features": 12},
    **{"num_classes": 5, "frames": 4, "image_size": 32},
}


def build(**options):
    return motion_vit.create_model("x3d_tiny", **SMALLEST | options)


def randomised(model):
    """Noise in place of every variable, so that no part is silent."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    rng = np.random.default_rng(1)
    return jax.device_put(
        jax.tree.map(lambda leaf: np.asarray(rng.uniform(-0.3, 0.7, leaf.shape), np.float32) ** 2, shapes)
    )


def training_step(**options):
    """Gradients of the parameters and new statistics of a training step, by path, and the variables before it."""
    model = build(**options)
    variables = randomised(model)

    @jax.jit
    def step(params):
        def loss(params):
            logits, updates = model.apply({**variables, "params": params}, CLIPS, train=True, mutable=["batch_stats"])
            return jnp.sum(logits**2), updates["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    gradients, statistics = (traverse_util.flatten_dict(tree, sep="/") for tree in step(variables["params"]))
    return gradients, statistics, traverse_util.flatten_dict(variables["batch_stats"], sep="/")


@pytest.mark.fast_cases("x3d_xs-*")
@pytest.mark.parametrize(
    ("name", "options", "parameters", "gmacs"),
    # Of the authors' networks, counted by fvcore: convolutions and linear layers. Those of L are published.
    [
        ("x3d_xs", {}, 3_794_274, 0.605),
        ("x3d_m", {}, 3_794_274, 4.732),
        ("x3d_s", {"image_size": 182, "pool_size": 160}, 3_794_274, 2.727),
        ("x3d_m", {"image_size": 256, "pool_size": 224, "stride_norm": True}, 3_794_322, 6.186),
        ("x3d_l", {}, 6_153_384, 18.368),
    ],
)
def test_networks_have_the_parameters_and_arithmetic_of_the_authors(name, options, parameters, gmacs):
    costs = measure_costs(motion_vit.create_model(name, **options))
    assert sum(cost.parameters for cost in costs.values()) == parameters
    assert round(sum(cost.multiply_adds for cost in costs.values()) / 1e9, 3) == gmacs


def test_widths_and_depths_follow_from_the_factors_of_the_paper():
    assert scaled_widths(2.0) == (24, 48, 96, 192)
    assert scaled_depths(2.2) == (3, 5, 11, 7)
    assert scaled_depths(5.0) == (5, 10, 25, 15)
    # Hidden features of squeeze and excitation: of 54, 108, 216 and 432 channels.
    assert [scaled_width(channels, 1 / 16) for channels in (54, 108, 216, 432)] == [8, 8, 16, 32]
    assert scaled_width(12, 1.0) == 16  # 12 lies between 8 and 16, and 8 were too much less


@pytest.mark.slow
def test_blocks_start_as_their_shortcuts():
    flat = traverse_util.flatten_dict(jax.jit(build().init)(jax.random.key(0), CLIPS)["params"], sep="/")
    for path, scale in flat.items():
        if path.endswith("/scale"):
            assert (np.asarray(scale) == (0 if path.endswith("norm3/scale") else 1)).all(), path


def test_every_second_block_squeezes_and_excites():
    params = jax.eval_shape(build(depths=(3, 1, 2, 1)).init, jax.random.key(0), CLIPS)["params"]
    found = {path[:2] for path in traverse_util.flatten_dict(params) if "excitation" in path}
    blocks = [(1, 0), (1, 2), (2, 0), (3, 0), (4, 0)]
    assert found == {(f"stage{stage}", f"block{block}") for stage, block in blocks}


@pytest.mark.slow
def test_a_training_step_moves_every_parameter_and_every_statistic():
    gradients, statistics, before = training_step(motion_module="m2a", stride_norm=True)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values())
    assert statistics.keys() == before.keys()
    assert all(np.abs(statistics[path] - before[path]).max() > 0 for path in before)


@pytest.mark.slow
def test_frozen_batch_norms_stay_as_they_are():
    gradients, statistics, before = training_step(frozen_batch_norm="all_but_first")
    patterns = build(frozen_batch_norm="all_but_first").frozen_patterns()
    for path, value in statistics.items():
        assert (np.abs(value - before[path]).max() > 0) == path.startswith("stem/"), path
    for path, gradient in gradients.items():
        is_norm = "norm" in path and not path.startswith("stem/")
        # As nothing is normalised, gates are closed or open, whatever they are made of.
        assert "excitation" in path or (np.abs(gradient).max() == 0) == is_norm, path
        assert any(re.fullmatch(pattern, path) for pattern in patterns) == is_norm, path
    assert any(re.fullmatch(each, "stem/norm/scale") for each in build(frozen_batch_norm="all").frozen_patterns())


def test_layer_patterns_cover_every_parameter_once():
    model = build(motion_module="m2a", depths=(1, 2, 1, 2), stride_norm=True)
    assert len(model.layer_patterns()) == 7
    for path in traverse_util.flatten_dict(jax.eval_shape(model.init, jax.random.key(0), CLIPS)["params"], sep="/"):
        assert sum(bool(re.fullmatch(pattern, path)) for pattern in model.layer_patterns()) == 1, path


@pytest.mark.slow
def test_squares_of_larger_clips_are_answered_one_by_one():
    clips = jax.device_put(np.random.default_rng(2).standard_normal((1, 2, 64, 33, 3)).astype(np.float32))
    model = build(pool_size=32)
    variables = randomised(model)
    shares = jax.nn.softmax(jax.jit(model.apply)(variables, clips))
    by_logits = jax.jit(build(pool_size=32, pool_average="logits").apply)(variables, clips)
    _, inside = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))(variables, clips)
    x = np.asarray(inside["stage4/block0_output"])
    assert x.shape[2:4] == (2, 2)  # each a square of 32 pixels
    params, statistics = (jax.tree.map(np.asarray, variables[kind]) for kind in ("params", "batch_stats"))
    x = (x @ params["conv5"]["kernel"][0, 0] - statistics["norm5"]["mean"]) / np.sqrt(statistics["norm5"]["var"] + 1e-5)
    x = np.maximum(x * params["norm5"]["scale"] + params["norm5"]["bias"], 0)
    hidden = np.maximum(x.mean(axis=1) @ params["fc1"]["kernel"][0, 0], 0)
    places = hidden @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(by_logits, places.mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(shares, np.asarray(jax.nn.softmax(places)).mean(axis=(1, 2)), rtol=1e-4)


def test_it_computes_in_bfloat16_and_answers_in_float32():
    model = build(dtype="bfloat16")
    run = functools.partial(motion_vit.apply_with_intermediates, model)
    logits, intermediates = jax.eval_shape(run, randomised(model), CLIPS)
    assert logits.dtype == jnp.float32
    assert {value.dtype for name, value in intermediates.items() if "stage" in name} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_average": "logits"}, "pool_average is 'logits', but without pool_size"),
        ({"pool_average": "votes"}, "must be one of probabilities, logits"),
        ({"widths": (4, 8, 8, 8), "motion_module": "m2a"}, r"the widths are \(4, 8, 8, 8\), but must be 8 or more"),
        ({"inner_ratio": 0.5}, "inner_ratio is 0.5"),
        ({"depths": (1, 1, 1)}, "one a stage"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        build(**options)


def test_frames_are_not_split_over_devices():
    with pytest.raises(motion_vit.UserError, match=r"X3D cannot split frames over devices. .* mesh.frames to 1"):
        build().with_frames_split("frames")
