"""What SlowFast and the networks of one pathway promise, on shapes where that is enough."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.models.inspection import measure_costs
from motion_vit.models.slowfast import average_frames, slow_frames

CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 33, 32, 3)).astype(np.float32))
SMALLEST = {"widths": (8, 8, 8, 16), "depths": (1, 1, 1, 1), "num_classes": 5, "frames": 4, "image_size": 32}


def build(**options):
    return motion_vit.create_model("slowfast_tiny", **SMALLEST | {"frame_ratio": 2, "channel_ratio": 1} | options)


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


@pytest.mark.fast_cases("slow_8x8_r50-*")
@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    # Of the authors' networks, counted by fvcore: convolutions and linear layers.
    [
        ("slowfast_4x16_r50", 34_480_216, 27.639),
        ("slowfast_8x8_r50", 34_566_488, 50.309),
        ("slow_8x8_r50", 32_454_096, 41.741),
        ("c2d_8x8_r50", 24_327_632, 19.493),
        ("i3d_8x8_r50", 28_043_472, 28.408),
    ],
)
def test_networks_have_the_parameters_and_arithmetic_of_the_authors(name, parameters, gmacs):
    costs = measure_costs(motion_vit.create_model(name))
    assert sum(cost.parameters for cost in costs.values()) == parameters
    assert round(sum(cost.multiply_adds for cost in costs.values()) / 1e9, 3) == gmacs


@pytest.mark.slow
def test_blocks_start_as_their_shortcuts():
    variables = jax.jit(build(fast_pathway=False).init)(jax.random.key(0), CLIPS)
    flat = traverse_util.flatten_dict(variables["params"], sep="/")
    for path, scale in flat.items():
        if path.endswith("/scale"):
            assert (np.asarray(scale) == (0 if path.endswith("norm3/scale") else 1)).all(), path


@pytest.mark.slow
def test_a_training_step_moves_every_parameter_and_every_statistic():
    gradients, statistics, before = training_step(motion_module="m2a", fast_pathway=False)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values())
    assert statistics.keys() == before.keys()
    assert all(np.abs(statistics[path] - before[path]).max() > 0 for path in before)


@pytest.mark.fast_cases("options1-*")
@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({"frozen_batch_norm": "all"}, "nothing"),
        ({"frozen_batch_norm": "all_but_first", "fast_pathway": False}, "stem/.*"),
    ],
)
def test_frozen_batch_norms_stay_as_they_are(options, trained):
    gradients, statistics, before = training_step(**options)
    patterns = build(**options).frozen_patterns()
    for path, value in statistics.items():
        assert (np.abs(value - before[path]).max() > 0) == bool(re.fullmatch(trained, path)), path
    for path, gradient in gradients.items():
        is_norm = "norm" in path and not re.fullmatch(trained, path)
        assert (np.abs(gradient).max() == 0) == is_norm, path
        assert any(re.fullmatch(pattern, path) for pattern in patterns) == is_norm, path


@pytest.mark.parametrize(
    ("options", "layers"),
    [({"depths": (1, 2, 1, 1)}, 6), ({"fast_pathway": False, "temporal_pool": True, "depths": (2, 1, 1, 1)}, 6)],
)
def test_layer_patterns_cover_every_parameter_once(options, layers):
    model = build(motion_module="m2a", **options)
    assert len(model.layer_patterns()) == layers
    for path in traverse_util.flatten_dict(jax.eval_shape(model.init, jax.random.key(0), CLIPS)["params"], sep="/"):
        assert sum(bool(re.fullmatch(pattern, path)) for pattern in model.layer_patterns()) == 1, path


@pytest.mark.fast_cases("slow")
@pytest.mark.parametrize("places", ["both", "slow", "fast"])
def test_motion_modules_stand_in_the_pathways_that_are_named(places):
    model = build(motion_module="m2a", motion_pathways=places)
    params = jax.eval_shape(model.init, jax.random.key(0), CLIPS)["params"]
    found = {path[0][:4] for path in traverse_util.flatten_dict(params) if "motion" in path}
    assert found == ({"slow", "fast"} if places == "both" else {places})


@pytest.mark.fast_cases("8-*")
@pytest.mark.parametrize("frames", range(1, 18))
@pytest.mark.parametrize("ratio", [1, 2, 3, 8])
def test_both_pathways_reach_from_the_first_frame_to_the_last(frames, ratio):
    picked = slow_frames(frames, ratio)
    assert len(picked) == -(-frames // ratio)
    assert picked[0] == 0
    assert picked[-1] == (frames - 1 if len(picked) > 1 else 0)
    clips = np.random.default_rng(frames).standard_normal((1, frames, 2)).astype(np.float32)
    averages = average_frames(jnp.asarray(clips), len(picked))
    np.testing.assert_allclose(averages.mean(axis=1), clips.mean(axis=1), atol=1e-6)
    if frames % len(picked) == 0:
        np.testing.assert_allclose(averages, clips.reshape(1, len(picked), -1, 2).mean(axis=2), atol=1e-6)


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
        ({"temporal_pool": True}, "temporal_pool is True, but only a network without a Fast pathway"),
        ({"channel_ratio": 3}, "channel_ratio is 3, but must divide the widths, such as 8"),
        ({"channel_ratio": 2, "motion_module": "m2a"}, r"are \(4, 4, 4, 8\), but must be 8 or more.*='slow'"),
        ({"fast_pathway": False, "temporal_pool": True, "frames": 1}, "the frames are halved"),
        ({"lateral_kernel": 4}, "lateral_kernel is 4, but must be an odd whole number"),
        ({"temporal_convolutions": "all"}, "must be one of none, late, alternating"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        build(**options)


def test_frames_are_not_split_over_devices():
    with pytest.raises(motion_vit.UserError, match=r"SlowFast cannot split frames over devices. .* mesh.frames to 1"):
        build().with_frames_split("frames")
