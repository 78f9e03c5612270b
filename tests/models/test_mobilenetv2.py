"""What MobileNetV2 promises, on shapes where that is enough."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.models.inspection import measure_costs
from motion_vit.models.mobilenetv2 import stage_widths
from motion_vit.modules.inverted_residual import InvertedResidual

CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 3, 33, 32, 3)).astype(np.float32))
SMALLEST = {
    **{"width": 0.05, "depths": (1, 2, 1, 1, 1, 1, 1), "last_width": 16},
    **{"num_classes": 5, "frames": 3, "image_size": 32},
}


def build(**options):
    return motion_vit.create_model("mobilenetv2_tiny", **SMALLEST | options)


@functools.cache
def shapes_of(model):
    """Shapes of the variables, by path."""
    return traverse_util.flatten_dict(jax.eval_shape(model.init, jax.random.key(0), CLIPS), sep="/")


def paths(model):
    shapes = shapes_of(model).items()
    return {path.removeprefix("params/"): leaf for path, leaf in shapes if path.startswith("params/")}


def randomised(model):
    """Weights and statistics of a size that leaves ReLU6 within its bounds; no scale or bias is as it starts."""
    rng = np.random.default_rng(1)
    drawn = {}
    for path, leaf in shapes_of(model).items():
        values = rng.standard_normal(leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))
        values = np.abs(values) + 0.5 if path.endswith(("/var", "/scale")) else values
        drawn[path] = np.asarray(values, np.float32)
    return jax.device_put(traverse_util.unflatten_dict(drawn, sep="/"))


@functools.cache
def training_step(**options):
    """Gradients of the parameters and new statistics of a training step, by path, and the statistics before it."""
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


@pytest.mark.fast_cases("mobilenetv2_tsm-*")
@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    # Of the authors' networks, counted by fvcore: convolutions, linear layers and the attention of frames. They
    # classify every frame, which is 0.0016 more.
    [
        ("mobilenetv2_tsn", 2_446_766, 2.3977),
        ("mobilenetv2_tsm", 2_446_766, 2.3977),
        ("mobilenetv2_m2a", 2_468_793, 2.4251),
    ],
)
def test_networks_have_the_parameters_and_arithmetic_of_the_authors(name, parameters, gmacs):
    costs = measure_costs(motion_vit.create_model(name, num_classes=174))
    assert sum(cost.parameters for cost in costs.values()) == parameters
    assert sum(cost.multiply_adds for cost in costs.values()) / 1e9 == pytest.approx(gmacs - 0.0016, abs=1e-4)


@pytest.mark.fast_cases("0.35-*")
@pytest.mark.parametrize(
    ("factor", "widths"),
    # Of the authors' `make_divisible`; torchvision's are the same for 1.0, and 16, 24, 48, 72, 120, 240 for 0.75.
    [
        (1.0, (16, 24, 32, 64, 96, 160, 320)),
        (0.75, (16, 24, 24, 48, 72, 120, 240)),
        (0.35, (16, 16, 16, 24, 40, 56, 112)),
        (1.4, (16, 40, 48, 96, 136, 224, 448)),
    ],
)
def test_channels_are_scaled_and_rounded_up_to_eighths(factor, widths):
    assert stage_widths(factor) == widths
    shapes = paths(motion_vit.create_model("mobilenetv2_tsn", width=factor))
    assert tuple(shapes[f"stage{stage}/block0/project/kernel"].shape[-1] for stage in range(1, 8)) == widths
    assert shapes["stem/conv/kernel"].shape[-1] == 32
    assert shapes["last/conv/kernel"].shape[-1] == (1792 if factor == 1.4 else 1280)


@pytest.mark.parametrize("option", [{"motion_module": "m2a"}, {"temporal_shift": True}])
def test_ten_blocks_mix_frames(option):
    model = motion_vit.create_model("mobilenetv2_tsn", **option)
    mixing = {
        f"stage{stage}/block{block}"
        for stage, depth in enumerate(model.depths, start=1)
        for block in range(depth)
        if model.mixes_frames(stage, block)
    }
    # Features 3, 5, 6, 8, 9, 10, 12, 13, 15 and 16 of the authors' code.
    later = {2: 1, 3: 2, 4: 3, 5: 2, 6: 2}
    assert mixing == {f"stage{stage}/block{block}" for stage, last in later.items() for block in range(1, last + 1)}
    if "motion_module" in option:
        assert {path.partition("/motion/")[0] for path in paths(model) if "/motion/" in path} == mixing


@pytest.mark.fast_cases("options0")
@pytest.mark.parametrize("options", [{"temporal_shift": True}, {"motion_module": "m2a", "temporal_shift": True}, {}])
def test_shifts_and_motion_modules_see_the_order_of_frames_and_nothing_else_does(options):
    model = build(**options)
    classify = jax.jit(functools.partial(model.apply, randomised(model)))
    logits, reversed_logits = classify(CLIPS), classify(CLIPS[:, ::-1])
    difference = np.abs(logits - reversed_logits).max() / np.abs(logits).max()
    assert difference > 1e-4 if options else difference < 1e-5


@pytest.mark.slow
def test_a_training_step_moves_every_statistic_and_every_parameter_that_can_move():
    options = {"motion_module": "m2a", "temporal_shift": True}
    gradients, statistics, before = training_step(**options)
    model = build(**options)
    blocks = [(stage, block) for stage, depth in enumerate(model.depths, start=1) for block in range(depth)]
    # What a projection adds everywhere, the next normalisation takes away, unless frames are mixed before it.
    silent = {
        f"stage{stage}/block{block}/project_norm/bias"
        for (stage, block), following in zip(blocks, [*blocks[1:], None], strict=True)
        if following is None or not model.mixes_frames(*following)
    }
    assert len(silent) == 6
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for path, gradient in gradients.items():
        assert (np.abs(gradient).max() < 1e-6 * largest) == (path in silent), path
    assert statistics.keys() == before.keys()
    assert all(np.abs(statistics[path] - before[path]).max() > 0 for path in before)


@pytest.mark.fast_cases("all_but_first-*")
@pytest.mark.parametrize(("frozen", "trained"), [("all", "nothing"), ("all_but_first", "stem/.*")])
def test_frozen_batch_norms_stay_as_they_are(frozen, trained):
    model = build(frozen_batch_norm=frozen)
    variables = randomised(model)
    _, updates = jax.eval_shape(functools.partial(model.apply, train=True, mutable=["batch_stats"]), variables, CLIPS)
    assert "batch_stats" in updates
    for path in paths(model):
        is_frozen = "norm" in path and not re.fullmatch(trained, path)
        assert any(re.fullmatch(pattern, path) for pattern in model.frozen_patterns()) == is_frozen, path


@pytest.mark.slow
def test_rematerialisation_gives_the_same_gradients():
    expected, _, _ = training_step(motion_module="m2a", temporal_shift=True)
    actual, _, _ = training_step(motion_module="m2a", temporal_shift=True, remat="blocks")
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for path, gradient in expected.items():
        np.testing.assert_allclose(actual[path], gradient, rtol=1e-3, atol=1e-5 * largest, err_msg=path)


def test_layer_patterns_cover_every_parameter_once():
    model = build(motion_module="m2a")
    for path in paths(model):
        assert sum(bool(re.fullmatch(pattern, path)) for pattern in model.layer_patterns()) == 1, path
    assert len(model.layer_patterns()) == 8 + 2


def test_it_computes_in_bfloat16_and_answers_in_float32():
    model = build(dtype="bfloat16", motion_module="m2a")
    run = functools.partial(motion_vit.apply_with_intermediates, model)
    logits, intermediates = jax.eval_shape(run, randomised(model), CLIPS)
    assert logits.dtype == jnp.float32
    assert {value.dtype for name, value in intermediates.items() if name.endswith("_output")} == {
        jnp.dtype(jnp.bfloat16)
    }


def test_kernels_start_with_the_deviation_of_the_authors():
    start = jax.jit(InvertedResidual(160).init)
    block = start(jax.random.key(0, impl="rbg"), np.zeros((1, 1, 2, 2, 160), np.float32))["params"]
    for layer, positions, outputs in (("expand", 1, 960), ("depthwise", 9, 960), ("project", 1, 160)):
        deviation = np.std(block[layer]["kernel"])
        np.testing.assert_allclose(deviation, np.sqrt(2 / (positions * outputs)), rtol=0.05, err_msg=layer)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "width is 0.0, but must be a number above 0"),
        ({"depths": (1, 2, 3, 4)}, "depths is .*, but must be a tuple of 7 items, one a stage"),
        ({"last_width": 0}, "last_width is 0, but must be a whole number from 1"),
        ({"motion_module": "flow"}, "motion_module is 'flow', but must be one of none, m2a"),
        ({"frozen_batch_norm": "some"}, "must be one of none, all_but_first, all"),
    ],
)
def test_options_that_do_not_fit_are_named(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        build(**options)


def test_frames_are_not_split_over_devices():
    with pytest.raises(
        motion_vit.UserError, match=r"MobileNetV2 cannot split frames over devices. .* mesh.frames to 1"
    ):
        build().with_frames_split("frames")
