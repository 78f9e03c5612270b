"""Behaviour of Video Swin on tiny models; its numbers are compared with torchvision's in the golden tests."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.modules.patch_merging import PatchMerging
from motion_vit.visualization.class_activation import class_activation_map, grad_cam

TINY = {
    "width": 8,
    "depths": (2, 2),
    "head_channels": 4,
    "attention_window": (2, 2, 2),
    "image_size": 20,
    "frames": 6,
    "num_classes": 5,
    "window": 3,
}
SHAPE = (2, 5, 18, 21, 3)  # 3 frames of 5 x 6 tubelets, then of 3 x 3


def tiny(**options):
    return motion_vit.create_model("video_swin_tiny", **TINY | options)


@pytest.fixture(scope="module")
def clips():
    return jax.device_put(np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32))


def random_variables(model):
    """Variables without zeros, so that every branch adds something."""
    generator = np.random.default_rng(1)
    shapes = traverse_util.flatten_dict(
        jax.eval_shape(model.init, jax.random.key(0), np.zeros(SHAPE, np.float32)), sep="/"
    )
    values = {
        path: np.asarray(0.3 * generator.standard_normal(leaf.shape) + path.endswith("/scale"), np.float32)
        for path, leaf in shapes.items()
    }
    return jax.device_put(traverse_util.unflatten_dict(values, sep="/"))


@functools.cache
def shapes(model):
    """Shapes of the parameters and of the intermediates, by path."""

    def run(clips):
        variables = model.init(jax.random.key(0), clips)
        return variables["params"], motion_vit.apply_with_intermediates(model, variables, clips)[1]

    params, intermediates = jax.tree.map(jnp.shape, jax.eval_shape(run, np.zeros(SHAPE, np.float32)))
    return traverse_util.flatten_dict(params, sep="/"), intermediates


@pytest.mark.slow
def test_a_training_step_moves_every_parameter(clips):
    model = tiny(placement="stage2", motion_module="m2a", remat="matmuls")

    @jax.jit
    def step(params):
        return jax.grad(lambda params: jnp.sum(model.apply({"params": params}, clips, train=True) ** 2))(params)

    gradients = traverse_util.flatten_dict(step(random_variables(model)["params"]), sep="/")
    assert not [path for path, gradient in gradients.items() if np.abs(gradient).max() < 1e-6]


def test_shifted_windows_carry_what_windows_alone_keep_apart():
    model = tiny(depths=(2,), attention_window=(2, 3, 3), image_size=24)
    variables = random_variables(model)
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    still = jax.device_put(np.random.default_rng(2).standard_normal((1, 4, 24, 24, 3)).astype(np.float32))
    moved = np.array(still)
    moved[0, 0, 0, 0] += 1
    before, after = (jax.device_get(run(variables, clips)[1]) for clips in (still, moved))

    def reached(name):
        return np.argwhere(np.abs(before[name] - after[name]).max(axis=(0, -1)) > 1e-6)

    first, second = reached("stage1/block0_output"), reached("stage1/block1_output")
    assert first.max(axis=0).tolist() == [1, 2, 2]  # the window of the first token
    # Windows that are shifted by 1 join rows 1 to 3; in time there is a single window.
    assert second.max(axis=0).tolist() == [1, 3, 3]


def test_a_merged_token_is_made_of_a_square_column_by_column():
    x = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4, 1)
    norm = {"scale": np.ones(4, np.float32), "bias": np.zeros(4, np.float32)}
    params = {"norm": norm, "reduction": {"kernel": np.eye(4, 2, dtype=np.float32)}}
    merged = np.asarray(jax.jit(PatchMerging().apply)({"params": params}, x))
    assert merged.shape == (1, 1, 2, 2, 2)

    def normalised(square):
        return (np.array(square) - np.mean(square)) / np.sqrt(np.var(square) + 1e-5)

    np.testing.assert_allclose(merged[0, 0, 0, 1], normalised([3, 7, 4, 8])[:2], rtol=1e-4)
    np.testing.assert_allclose(merged[0, 0, 1, 0], normalised([9, 0, 10, 0])[:2], rtol=1e-4)


@pytest.mark.slow
def test_a_class_activation_map_adds_up_to_the_logit(clips):
    model = tiny(depths=(1, 1))
    variables = random_variables(model)
    maps = class_activation_map(model, variables, clips, class_index=3)
    assert maps.shape == (2, 3, 3, 3)
    logits = jax.jit(model.apply)(variables, clips)
    bias = variables["params"]["head"]["bias"][3]
    np.testing.assert_allclose(maps.mean(axis=(1, 2, 3)) + bias, logits[:, 3], rtol=1e-4, atol=1e-4)
    assert grad_cam(model, variables, clips, "stage1/block0_output", 3).shape == (2, 3, 5, 6)


@pytest.mark.parametrize("name", ["embedding_output", "merging2_output", "stage2/block0_output", "norm_output"])
def test_tokens_lie_where_their_pixels_are(name):
    layout = tiny().token_layout(name, SHAPE[1:])
    assert (layout.frames, layout.rows, layout.columns) == shapes(tiny())[1][name][1:4]
    assert (layout.temporal_stride, layout.seen) == (2, (18, 21))
    assert (layout.stride, layout.first_centre) == ((4, 2.0) if name == "embedding_output" else (8, 4.0))


def test_what_has_no_place_is_told():
    with pytest.raises(motion_vit.UserError, match="'stage3/block0_output' has no place in the frame"):
        tiny().token_layout("stage3/block0_output", SHAPE[1:])


def test_blocks_of_windows_keep_their_weights_where_cost_volumes_take_their_place():
    plain, with_cost_volumes = shapes(tiny())[0], shapes(tiny(placement="lg"))[0]
    added = with_cost_volumes.items() - plain.items()
    left_out = plain.items() - with_cost_volumes.items()
    assert {path.split("attention/")[1].split("/")[0] for path, _ in added} == {"rpb", "motion"}
    assert {path.split("attention/")[1] for path, _ in left_out} == {"relative_position_bias"}
    assert all("/block0/" in path for path, _ in added | left_out)


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ({}, ()),
        ({"placement": "lg"}, ("stage1", "stage2")),
        ({"placement": "gl", "depths": (1, 2)}, ("stage2",)),
        ({"placement": "stage2"}, ("stage2",)),
    ],
    ids=str,
)
def test_a_model_says_where_its_cost_volumes_are(options, stages):
    assert tiny(**options).cost_volume_stages() == stages


def test_pairs_of_blocks_in_a_loop_compute_the_same(clips):
    options = {"depths": (5,), "placement": "lg"}
    variables = random_variables(tiny(**options))
    logits = {scan: jax.jit(tiny(**options, scan_blocks=scan).apply)(variables, clips) for scan in (False, True)}
    np.testing.assert_allclose(logits[True], logits[False], rtol=1e-4, atol=1e-5)


def test_motion_modules_train_in_a_loop_that_computes_activations_again(clips):
    options = {"motion_module": "tea", "scan_blocks": True, "remat": "blocks", "stochastic_depth": 0.2, "dropout": 0.5}
    model = tiny(**options, depths=(4,))
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)

    def loss(params, variables):
        rngs = {"dropout": jax.random.key(0)}
        logits, updates = model.apply(
            {**variables, "params": params}, clips, train=True, mutable=["batch_stats"], rngs=rngs
        )
        return jnp.sum(logits**2), updates

    gradients, updates = jax.eval_shape(jax.grad(loss, has_aux=True), variables["params"], variables)
    assert jax.tree.map(jnp.shape, {"params": gradients, **updates}) == jax.tree.map(jnp.shape, variables)


def test_bfloat16_is_close_to_float32(clips):
    options = {"depths": (1, 1)}
    variables = jax.tree.map(lambda x: 0.3 * x, random_variables(tiny(**options)))
    logits = {dtype: jax.jit(tiny(**options, dtype=dtype).apply)(variables, clips) for dtype in ("bfloat16", "float32")}
    assert logits["bfloat16"].dtype == jnp.float32
    np.testing.assert_allclose(logits["bfloat16"], logits["float32"], atol=0.1 * float(np.std(logits["float32"])))


def test_intermediates_have_their_documented_names_and_shapes():
    first, second = (2, 3, 5, 6, 8), (2, 3, 3, 3, 16)

    def attended(layer, windows, tokens):
        layer = f"{layer}/attention"
        places = tokens[:-1]
        heads = tokens[-1] // 4
        return {
            f"{layer}/attention_weights": (2 * windows, heads, 8, 8),
            f"{layer}/attention_received": (*places, heads),
        }

    assert shapes(tiny(placement="stage2", neighbours="both"))[1] == {
        "embedding_output": first,
        **attended("stage1/block0", 18, first),
        "stage1/block0_output": first,
        **attended("stage1/block1", 18, first),
        "stage1/block1_output": first,
        "merging2_output": second,
        "stage2/block0/attention/cost_volume": (2, 2, 3, 3, 4, 9),
        "stage2/block0/attention/cost_volume_backward": (2, 2, 3, 3, 4, 9),
        "stage2/block0_output": second,
        **attended("stage2/block1", 8, second),
        "stage2/block1_output": second,
        "norm_output": second,
    }


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 3), (1, 11, 41, 16, 3)])
def test_clips_of_any_size_and_length_are_classified(shape):
    params = {path: jax.ShapeDtypeStruct(size, np.float32) for path, size in shapes(tiny())[0].items()}
    variables = {"params": traverse_util.unflatten_dict(params, sep="/")}
    assert jax.eval_shape(tiny().apply, variables, np.zeros(shape, np.float32)).shape == (1, 5)


def test_every_parameter_belongs_to_one_layer(clips):
    model = tiny(depths=(2, 11), motion_module="tam", placement="lg")
    paths = traverse_util.flatten_dict(jax.eval_shape(model.init, jax.random.key(0), clips)["params"], sep="/")
    layers = model.layer_patterns()
    assert len(layers) == 14
    numbers = {}
    for path in paths:
        (numbers[path],) = [number for number, layer in enumerate(layers) if re.fullmatch(layer, path)]
    assert set(numbers.values()) == set(range(len(layers)))
    assert numbers["embedding/norm/scale"] == numbers["stage1/block0/attention/qkv/bias"] == 0
    assert numbers["merging2/reduction/kernel"] == 2
    assert numbers["stage2/block10/mlp/fc1/kernel"] == 12
    assert numbers["head/kernel"] == numbers["norm/scale"] == 13


def test_frames_stay_on_their_device():
    with pytest.raises(motion_vit.UserError, match=r"shifted over time. Set the config field mesh\.frames to 1"):
        tiny().with_frames_split("frames")


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": ()}, "depths is .*, but must be a tuple of 1 to 6 items, one a stage"),
        ({"attention_window": (8, 7)}, "must be a tuple of 3 items, frames, rows and columns"),
        ({"attention_window": (8, 7, 0)}, "each a whole number from 1"),
        ({"head_channels": 3}, "head_channels is 3, but must divide the width, 8"),
        ({"placement": "ww"}, "must be one of gg, lg, gl, ll, stage1"),
        ({"placement": "stage3"}, "placement is stage3, but depths has 2 stages"),
        ({"window": 2}, "window is 2, but must be an odd whole number"),
        ({"tubelet_frames": 0}, "tubelet_frames is 0, but must be a whole number from 1"),
        ({"heads": 3}, "unknown option 'heads'"),
    ],
    ids=str,
)
def test_a_wrong_option_is_explained(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        tiny(**options)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (1, 6, 16, 16), r"\[batch, frames, height, width, 3\]"),
        ({"placement": "lg"}, (1, 2, 16, 16, 3), "at least 3 frames, so that a tubelet has a neighbour, got 2"),
    ],
)
def test_clips_that_cannot_be_classified_are_refused(options, shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tiny(**options).init, jax.random.key(0), np.zeros(shape, np.float32))
