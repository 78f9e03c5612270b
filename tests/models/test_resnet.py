import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.models.inspection import measure_costs

CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 33, 32, 3)).astype(np.float32))


def build(**options):
    smallest = {"widths": (8, 8, 8, 16), "depths": (1, 1, 1, 1), "num_classes": 5, "frames": 4, "image_size": 32}
    return motion_vit.create_model("resnet18_tiny", **smallest | options)


def randomised(model):
    """Noise in place of every variable, so that no part is silent."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    rng = np.random.default_rng(1)
    return jax.device_put(
        jax.tree.map(lambda leaf: np.asarray(rng.uniform(-0.3, 0.7, leaf.shape), np.float32) ** 2, shapes)
    )


def training_step(model):
    """Gradients of the parameters and new statistics of a training step."""
    variables = randomised(model)

    @jax.jit
    def step(params):
        def loss(params):
            logits, updates = model.apply({**variables, "params": params}, CLIPS, train=True, mutable=["batch_stats"])
            return jnp.sum(logits**2), updates["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    return [traverse_util.flatten_dict(tree, sep="/") for tree in step(variables["params"])], variables


@pytest.mark.fast_cases("resnet50_tsn-*")
@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    # Of torchvision's networks for 1000 classes: https://pytorch.org/vision/stable/models.html
    [("resnet18_tsn", 11_689_512, 1.814), ("resnet50_tsn", 25_557_032, 4.089)],
)
def test_networks_have_the_parameters_and_arithmetic_of_torchvision(name, parameters, gmacs):
    costs = measure_costs(motion_vit.create_model(name, num_classes=1000, frames=1))
    assert sum(cost.parameters for cost in costs.values()) == parameters
    assert round(sum(cost.multiply_adds for cost in costs.values()) / 1e9, 3) == gmacs


def test_logits_are_the_average_over_the_frames_of_their_own():
    model = build()
    classify = jax.jit(functools.partial(model.apply, randomised(model)))
    of_frames = [classify(CLIPS[:, frame : frame + 1]) for frame in range(4)]
    np.testing.assert_allclose(classify(CLIPS), sum(of_frames) / 4, rtol=1e-4)


@pytest.mark.fast_cases("options0")
@pytest.mark.parametrize("options", [{"temporal_shift": True}, {"motion_module": "m2a"}])
def test_shifts_and_motion_modules_see_the_order_of_frames(options):
    model = build(**options)
    classify = jax.jit(functools.partial(model.apply, randomised(model)))
    logits = classify(CLIPS)
    assert np.abs(logits - classify(CLIPS[:, ::-1])).max() > 1e-4 * np.abs(logits).max()


def test_long_networks_mix_frames_in_every_second_block():
    model = build(depths=(2, 1, 23, 3), motion_module="m2a")
    shapes = jax.eval_shape(model.init, jax.random.key(0), CLIPS)["params"]
    mixing = {path[:2] for path in traverse_util.flatten_dict(shapes) if "motion" in path}
    assert mixing == {
        *(("stage1", "block0"), ("stage2", "block0"), ("stage4", "block0"), ("stage4", "block2")),
        *(("stage3", f"block{block}") for block in range(0, 23, 2)),
    }


@pytest.mark.slow
def test_a_training_step_moves_every_parameter_and_every_statistic():
    (gradients, statistics), variables = training_step(build(motion_module="tea+attention", temporal_shift=True))
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values())
    before = traverse_util.flatten_dict(variables["batch_stats"], sep="/")
    assert statistics.keys() == before.keys()
    assert all(np.abs(statistics[path] - before[path]).max() > 0 for path in before)


@pytest.mark.fast_cases("all_but_first-*")
@pytest.mark.parametrize(
    ("frozen", "trained"),
    [("all", r"stage1/block0/motion/.*"), ("all_but_first", r"stem/.*|stage1/block0/motion/.*")],
)
def test_frozen_batch_norms_stay_as_they_are(frozen, trained):
    options = {"motion_module": "tea", "frozen_batch_norm": frozen, "depths": (1, 1, 1, 1)}
    (gradients, statistics), variables = training_step(build(**options))
    patterns = build(**options).frozen_patterns()
    assert build().frozen_patterns() == ()
    before = traverse_util.flatten_dict(variables["batch_stats"], sep="/")
    pattern = trained.replace("stage1", "stage[1-4]")
    for path, value in statistics.items():
        assert (np.abs(value - before[path]).max() > 0) == bool(re.fullmatch(pattern, path)), path
    for path, gradient in gradients.items():
        is_norm = "norm" in path and not re.fullmatch(pattern, path)
        assert (np.abs(gradient).max() == 0) == is_norm, path
        assert any(re.fullmatch(frozen_pattern, path) for frozen_pattern in patterns) == is_norm, path


@pytest.mark.slow
def test_rematerialisation_gives_the_same_gradients():
    (expected, _), _ = training_step(build(temporal_shift=True))
    (actual, _), _ = training_step(build(temporal_shift=True, remat="blocks"))
    for path, gradient in expected.items():
        np.testing.assert_allclose(actual[path], gradient, rtol=1e-4, atol=1e-5 * np.abs(gradient).max(), err_msg=path)


@pytest.mark.fast_cases("dropout")
@pytest.mark.parametrize("rate", ["dropout", "stochastic_depth"])
def test_random_draws_are_those_of_the_key(rate):
    model = build(**{rate: 0.5})
    variables = randomised(model)

    @jax.jit
    def train(key):
        return model.apply(variables, CLIPS, train=True, rngs={"dropout": key}, mutable=["batch_stats"])[0]

    draws = [np.asarray(train(jax.random.key(seed))) for seed in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert any((draws[0] != other).any() for other in draws[2:])


def test_layer_patterns_cover_every_parameter_once():
    model = build(depths=(1, 2, 1, 2), motion_module="m2a")
    params = jax.eval_shape(model.init, jax.random.key(0), CLIPS)["params"]
    for path in traverse_util.flatten_dict(params, sep="/"):
        assert sum(bool(re.fullmatch(pattern, path)) for pattern in model.layer_patterns()) == 1, path
    assert len(model.layer_patterns()) == 6 + 1


def test_the_named_intermediates_are_there():
    model = build(motion_module="m2a")
    run = functools.partial(motion_vit.apply_with_intermediates, model)
    _, intermediates = jax.eval_shape(run, randomised(model), CLIPS)
    assert {name: value.shape for name, value in intermediates.items() if "stage" not in name or "stage4" in name} == {
        "stem_output": (2, 4, 9, 8, 8),
        "stage4/block0_output": (2, 4, 2, 1, 16),
        "stage4/block0/motion/frame_attention": (2, 4, 4),
        "stage4/block0/motion/gate": (2, 4, 3, 2, 8),
    }


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motion_module": "flow"}, "motion_module is 'flow', but must be one of none, m2a"),
        ({"frozen_batch_norm": "some"}, "must be one of none, all_but_first, all"),
        ({"depths": (1, 2, 3)}, "depths is .*, but must be a tuple of 4 items, one a stage"),
        ({"widths": (4, 8, 8, 8), "temporal_shift": True}, "widths is .*, but must be 8 or more"),
        ({"dropout": 1.0, "num_classes": 0}, "num_classes is 0.*; dropout is 1.0"),
    ],
)
def test_options_that_do_not_fit_are_named(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        build(**options)


@pytest.mark.mistyped
def test_clips_of_another_rank_are_named():
    with pytest.raises(ValueError, match=r"expected clips \[batch, frames, height, width, 3\], got \(4, 32, 32, 3\)"):
        build().init(jax.random.key(0), CLIPS[0, :, :32])
