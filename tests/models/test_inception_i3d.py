"""What the I3D of Inception-V1 promises, on shapes where that is enough."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

import motion_vit
from motion_vit.models.checked_model import variable_shapes
from motion_vit.models.inception_i3d import average_of_windows
from motion_vit.models.inspection import measure_costs
from motion_vit.modules import inception_block
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.inception_block import MixedBlock, MixedWidths

SMALLEST = {"width": 4, "num_classes": 5, "frames": 8, "image_size": 32}
CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 8, 33, 32, 3)).astype(np.float32))


def build(**options):
    return motion_vit.create_model("i3d_inception_tiny", **SMALLEST | options)


def paths(model):
    return traverse_util.flatten_dict(variable_shapes(model)["params"], sep="/")


@functools.cache
def traced(frozen):
    """A network with motion modules, its parameters by path, and which BatchNorms are frozen, by path."""
    model = build(frozen_batch_norm=frozen, motion_module="tea")
    norms = {}

    def look(call, args, kwargs, context):
        if isinstance(context.module, BatchNorm):
            norms["/".join(context.module.path)] = context.module.frozen
        return call(*args, **kwargs)

    with nn.intercept_methods(look):
        return model, paths(model), norms


@pytest.mark.fast_cases("64-*")
@pytest.mark.parametrize(("frames", "gmacs"), [(16, 27.787978752), (64, 111.153143808)])
def test_networks_have_the_parameters_and_arithmetic_of_the_authors(frames, gmacs):
    costs = measure_costs(motion_vit.create_model(f"i3d_inception_{frames}"))
    assert sum(cost.parameters for cost in costs.values()) == 12_697_264
    # Theirs classifies every step of time, ours their mean.
    assert sum(cost.multiply_adds for cost in costs.values()) / 1e9 == pytest.approx(gmacs, rel=1e-4)


@pytest.mark.fast_cases("all")
@pytest.mark.parametrize("frozen", ["all_but_first", "all"])
def test_batch_norms_are_frozen_as_the_option_says_but_not_those_of_motion_modules(frozen):
    model, _, norms = traced(frozen)
    assert len(norms) == 3 + 9 * (6 + 2)
    kept = ("conv2", "mixed") if frozen == "all_but_first" else ("stem", "conv2", "mixed")
    assert {path for path, is_frozen in norms.items() if is_frozen} == {
        path for path in norms if path.startswith(kept) and "/motion/" not in path
    }
    patterns = model.frozen_patterns()
    for path, is_frozen in norms.items():
        for number in ("scale", "bias"):
            assert any(re.fullmatch(pattern, f"{path}/{number}") for pattern in patterns) == is_frozen, path


@pytest.mark.fast_cases("True")
@pytest.mark.parametrize("frozen", [False, True])
def test_a_training_step_moves_every_parameter_and_statistic_of_a_block_that_is_not_frozen(frozen):
    block = MixedBlock(MixedWidths(2, 3, 4, 5, 6, 7), motion_module="m2a", freeze_norm=frozen)
    rng = np.random.default_rng(0)
    x = jax.device_put(np.maximum(rng.standard_normal((2, 3, 4, 4, 8), np.float32), 0))
    shapes = jax.eval_shape(block.init, jax.random.key(0), x)
    drawn = jax.tree.map(lambda leaf: rng.uniform(0.1, 0.6, leaf.shape).astype(np.float32), shapes)
    variables = jax.device_put(drawn)

    def loss(params):
        features, updates = block.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
        return jnp.sum(features**3), updates

    gradients, updates = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for path, gradient in traverse_util.flatten_dict(gradients, sep="/").items():
        assert (np.abs(gradient).max() == 0) == (frozen and "/norm/" in path), path
    before = traverse_util.flatten_dict(variables["batch_stats"], sep="/")
    for path, value in traverse_util.flatten_dict(updates["batch_stats"], sep="/").items():
        assert (np.abs(value - before[path]).max() == 0) == frozen, path


def test_layer_patterns_cover_every_parameter_once():
    model, params, _ = traced("all")
    assert len(model.layer_patterns()) == 13
    for path in params:
        assert sum(bool(re.fullmatch(pattern, path)) for pattern in model.layer_patterns()) == 1, path


@pytest.mark.parametrize("size", [(5, 3, 4), (2, 7, 7), (1, 1, 1), (4, 2, 3)])
def test_the_mean_over_places_is_that_over_all_windows(size):
    features = np.random.default_rng(1).standard_normal((1, 5, 3, 4, 6)).astype(np.float32)
    window = tuple(min(pair) for pair in zip(size, (5, 3, 4), strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(features, window, (1, 2, 3)).mean(axis=(2, 3, 5, 6, 7))
    found = np.asarray(jax.jit(average_of_windows, static_argnums=1)(features, size))
    assert found.shape == (1, 5 - window[0] + 1, 3, 4, 6)
    np.testing.assert_allclose(found.mean(axis=(2, 3)), windows, atol=1e-6)


@pytest.mark.slow
def test_all_widths_follow_that_of_the_first_convolution():
    shapes = {path: leaf.shape for path, leaf in paths(build(width=8)).items()}
    assert shapes["stem/conv/kernel"] == (7, 7, 7, 3, 8)
    assert shapes["mixed3b/b2a/conv/kernel"] == (1, 1, 1, 24, 2)
    assert shapes["mixed5c/b1b/conv/kernel"] == (3, 3, 3, 24, 48)
    assert shapes["head/kernel"] == (128, 5)
    assert shapes["mixed3b/b1a/conv/kernel"] == (1, 1, 1, 24, 12)


@pytest.mark.parametrize(
    ("frames", "size", "name", "expected"),
    [
        # The window of 7 of an even size begins two before it, and so is centred on frame and pixel 1.
        (16, 64, "stem_output", (tuple(range(1, 16, 2)), 1.5)),
        (16, 64, "pool2_output", (tuple(range(1, 16, 2)), 3.5)),
        (16, 64, "mixed3c/motion/gate", (tuple(range(1, 16, 2)), 7.5)),
        (16, 64, "mixed4b_output", ((3, 7, 11, 15), 15.5)),
        (16, 64, "mixed5c_output", ((5, 13), 23.5)),
        (16, 64, "features_output", ((9,), 23.5)),
        # Windows of odd sizes are centred on the first.
        (17, 65, "stem_output", (tuple(range(0, 17, 2)), 0.5)),
        (17, 65, "mixed4f_output", ((0, 4, 8, 12, 16), 0.5)),
        # A window of two, of which the last reaches beyond the clip.
        (17, 65, "mixed5b_output", ((2, 10, 16), 8.5)),
    ],
)
def test_features_lie_in_the_middle_of_what_they_are_made_of(frames, size, name, expected):
    layout = build().token_layout(name, (frames, size, size, 3))
    assert (layout.clip_frames, layout.first_centre) == expected


@pytest.mark.slow
def test_it_computes_in_bfloat16_and_answers_in_float32():
    model = build(dtype="bfloat16")
    logits, intermediates = jax.eval_shape(
        lambda variables: motion_vit.apply_with_intermediates(model, variables, CLIPS), variable_shapes(model)
    )
    assert logits.dtype == jnp.float32
    assert {value.dtype for name, value in intermediates.items() if "mixed" in name} == {jnp.dtype(jnp.bfloat16)}


class Silence(nn.Module):
    """A motion module after which nothing is left."""

    def __call__(self, x, *, train):
        return 0 * x


def test_the_motion_module_stands_before_the_branches_that_have_3x3x3_convolutions(monkeypatch):
    monkeypatch.setattr(inception_block, "make_motion_module", lambda kind, *, name, **_: Silence(name=name))
    block = MixedBlock(MixedWidths(1, 2, 3, 4, 5, 6))
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((1, 3, 4, 4, 8), np.float32), 0)
    shapes = jax.eval_shape(block.init, jax.random.key(0), x)
    # Without biases, so that what is made of nothing is nothing.
    flat = {path: np.zeros(leaf.shape, np.float32) for path, leaf in traverse_util.flatten_dict(shapes).items()}
    for path, value in flat.items():
        value += path[-1] in ("kernel", "scale", "var")
    variables = traverse_util.unflatten_dict(flat)
    features = np.asarray(jax.jit(block.apply)(variables, x))
    silent = (features == 0).all(axis=(0, 1, 2, 3))
    assert silent[1 : 1 + 3 + 5].all()
    assert not silent[0]
    assert not silent[1 + 3 + 5 :].all()


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 2, "motion_module": "m2a"}, "width is 2, but must be 3 or more with the motion module m2a"),
        ({"width": 0}, "width is 0, but must be a whole number from 1"),
        ({"pool_size": (2, 7)}, r"pool_size is \(2, 7\), but must be a tuple of 3 items, of frames, rows and columns"),
        ({"pool_size": (0, 7, 7)}, r"pool_size is \(0, 7, 7\)"),
        ({"scan_blocks": True}, "unknown option 'scan_blocks'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        build(**options)


def test_frames_are_not_split_over_devices():
    message = r"InceptionI3D cannot split frames over devices. .* mesh.frames to 1"
    with pytest.raises(motion_vit.UserError, match=message):
        build().with_frames_split("frames")
