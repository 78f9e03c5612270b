"""What R3D, MC3, R(2+1)D and I3D-ResNet-18 promise, on shapes where that is enough."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.models.inspection import measure_costs
from motion_vit.modules.factorized_convolution import middle_features

CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 5, 33, 32, 3)).astype(np.float32))
SMALLEST = {"widths": (8, 8, 8, 16), "depths": (1, 1, 1, 1), "num_classes": 5, "frames": 5, "image_size": 32}
MIXED = {"convolutions": "mixed", "temporal_stride": False}
I3D = {"convolutions": "3d", "max_pool": True, "head_per_frame": True}


def build(**options):
    return motion_vit.create_model("r2plus1d_tiny", **SMALLEST | options)


def shapes_of(model):
    return jax.eval_shape(model.init, jax.random.key(0), CLIPS)


def randomised(model):
    """Noise in place of every variable, so that no part is silent."""
    rng = np.random.default_rng(1)
    return jax.device_put(
        jax.tree.map(lambda leaf: np.asarray(rng.uniform(-0.3, 0.7, leaf.shape), np.float32) ** 2, shapes_of(model))
    )


@pytest.mark.fast_cases("r2plus1d_18-*", "mc3_18-*")
@pytest.mark.parametrize(
    ("name", "classes", "parameters", "gmacs"),
    # Of the authors' networks, counted by fvcore: convolutions and linear layers.
    [
        ("r3d_18", 400, 33_371_472, 40.697),
        ("mc3_18", 400, 11_695_440, 43.343),
        ("r2plus1d_18", 400, 31_505_325, 40.519),
        ("i3d_resnet18", 174, 33_255_534, 22.473),
        ("i3d_resnet18_m2a", 174, 33_366_758, 22.602),
    ],
)
def test_networks_have_the_parameters_and_arithmetic_of_the_authors(name, classes, parameters, gmacs):
    costs = measure_costs(motion_vit.create_model(name, num_classes=classes))
    assert sum(cost.parameters for cost in costs.values()) == parameters
    assert round(sum(cost.multiply_adds for cost in costs.values()) / 1e9, 3) == gmacs


def test_both_convolutions_of_a_block_have_the_middle_channels_of_the_first():
    params = traverse_util.flatten_dict(shapes_of(motion_vit.create_model("r2plus1d_18"))["params"], sep="/")
    found = {path: leaf.shape[-1] for path, leaf in params.items() if path.endswith("spatial/kernel")}
    assert found.pop("stem/conv/spatial/kernel") == 45
    middle = {path: 144 for path in found if path.startswith("stage1")}
    for stage, first, others in ((2, 230, 288), (3, 460, 576), (4, 921, 1152)):
        middle |= {path: first for path in found if path.startswith(f"stage{stage}/block0")}
        middle |= {path: others for path in found if path.startswith(f"stage{stage}/block1")}
    assert found == middle


@pytest.mark.parametrize(("channels", "features", "frames", "side"), [(64, 128, 3, 3), (5, 7, 3, 5), (256, 64, 5, 3)])
def test_two_steps_have_no_more_weights_than_one_convolution_and_nearly_as_many(channels, features, frames, side):
    middle = middle_features(channels, features, kernel_frames=frames, kernel_size=side)
    for_each = side**2 * channels + frames * features
    whole = frames * side**2 * channels * features
    assert whole - for_each < middle * for_each <= whole


@pytest.mark.parametrize(
    ("options", "frames"), [({}, [5, 5, 3, 2, 1]), (MIXED, [5] * 5), (I3D | {"temporal_stride": False}, [5] * 5)]
)
def test_frames_are_halved_as_the_options_say(options, frames):
    model = build(**options)
    run = functools.partial(motion_vit.apply_with_intermediates, model)
    _, intermediates = jax.eval_shape(run, shapes_of(model), CLIPS)
    names = ["stem_output", *(f"stage{stage}/block0_output" for stage in range(1, 5))]
    assert [intermediates[name].shape[1] for name in names] == frames
    for name in names:
        layout = model.token_layout(name, CLIPS.shape[1:])
        assert (layout.frames, layout.rows, layout.columns) == intermediates[name].shape[1:4], name
        assert layout.clip_frames[-1] < CLIPS.shape[1]


@pytest.mark.slow
def test_a_training_step_moves_every_parameter_and_every_statistic():
    model = build(motion_module="m2a", head_per_frame=True, dropout=0.2, frames=3, image_size=16)
    clips = CLIPS[:, :3, :16, :16]
    variables = randomised(model)

    @jax.jit
    def step(params):
        def loss(params):
            logits, updates = model.apply(
                *({**variables, "params": params}, clips),
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(2)},
            )
            return jnp.sum(logits**2), updates["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    gradients, statistics = (traverse_util.flatten_dict(tree, sep="/") for tree in step(variables["params"]))
    before = traverse_util.flatten_dict(variables["batch_stats"], sep="/")
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values())
    assert statistics.keys() == before.keys()
    assert all(np.abs(statistics[path] - before[path]).max() > 0 for path in before)


@pytest.mark.fast_cases("all_but_first-*")
@pytest.mark.parametrize(("frozen", "trained"), [("none", ".*"), ("all_but_first", "stem/.*"), ("all", "nothing")])
def test_frozen_batch_norms_keep_their_statistics_and_are_named(frozen, trained):
    model = build(frozen_batch_norm=frozen)
    variables = randomised(model)
    _, updates = jax.jit(lambda v: model.apply(v, CLIPS, train=True, mutable=["batch_stats"]))(variables)
    before = traverse_util.flatten_dict(variables["batch_stats"], sep="/")
    for path, value in traverse_util.flatten_dict(updates["batch_stats"], sep="/").items():
        assert (np.abs(value - before[path]).max() > 0) == bool(re.fullmatch(trained, path)), path
    for path in traverse_util.flatten_dict(variables["params"], sep="/"):
        is_frozen = "norm" in path and not re.fullmatch(trained, path)
        assert any(re.fullmatch(pattern, path) for pattern in model.frozen_patterns()) == is_frozen, path


@pytest.mark.slow
def test_dropout_is_of_the_clip_or_of_each_frame():
    # Drawn for every frame, what is dropped averages out.
    spread = {}
    for per_frame in (False, True):
        model = build(head_per_frame=per_frame, dropout=0.5, temporal_stride=False)
        variables = randomised(model)
        variables["params"]["head"]["bias"] *= 0
        run = jax.jit(functools.partial(model.apply, train=True, mutable=["batch_stats"]))
        draws = [run(variables, CLIPS, rngs={"dropout": jax.random.key(key)})[0] for key in range(8)]
        spread[per_frame] = np.std(np.stack(draws), axis=0).mean()
    assert 0 < spread[True] < spread[False]


@pytest.mark.parametrize(("options", "layers"), [({"depths": (1, 2, 1, 2)}, 7), (I3D, 5)])
def test_layer_patterns_cover_every_parameter_once(options, layers):
    model = build(motion_module="m2a", **options)
    assert len(model.layer_patterns()) == layers
    for path in traverse_util.flatten_dict(shapes_of(model)["params"], sep="/"):
        assert sum(bool(re.fullmatch(pattern, path)) for pattern in model.layer_patterns()) == 1, path


def test_every_block_has_the_motion_module():
    params = shapes_of(motion_vit.create_model("i3d_resnet18_m2a"))["params"]
    blocks = {path[:2] for path in traverse_util.flatten_dict(params) if "motion" in path}
    assert blocks == {(f"stage{stage}", f"block{block}") for stage in range(1, 5) for block in range(2)}


def test_it_computes_in_bfloat16_and_answers_in_float32():
    model = build(dtype="bfloat16")
    run = functools.partial(motion_vit.apply_with_intermediates, model)
    logits, intermediates = jax.eval_shape(run, shapes_of(model), CLIPS)
    assert logits.dtype == jnp.float32
    assert {value.dtype for value in intermediates.values()} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convolutions": "mixed"}, r"temporal_stride is True, but .* set temporal_stride=False beside it"),
        ({"widths": (4, 8, 8, 8), "motion_module": "m2a"}, r"widths is \(4, 8, 8, 8\), but must be 8 or more"),
        ({"convolutions": "2d"}, "must be one of 3d, mixed, 2plus1d"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        build(**options)


def test_frames_are_not_split_over_devices():
    with pytest.raises(
        motion_vit.UserError, match=r"VideoResNet cannot split frames over devices. .* mesh.frames to 1"
    ):
        build().with_frames_split("frames")
