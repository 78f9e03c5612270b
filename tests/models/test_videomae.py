"""Behaviour of VideoMAE on tiny models; its numbers are compared with the authors' in the golden tests."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import motion_vit
from motion_vit.modules.average_norm import AverageNorm
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.visualization.class_activation import class_activation_map, grad_cam

TINY = {
    "width": 16,
    "depth": 2,
    "heads": 2,
    "patch_size": 8,
    "image_size": 16,
    "frames": 6,
    "num_classes": 5,
    "window": 3,
}
SHAPE = (2, 6, 16, 24, 3)  # 3 frames of 2 x 3 tubelets, where learned positions are for 2 x 2
EVERYWHERE = {"placement": "ll"}
ALTERNATING = {"placement": "lg"}


def tiny(**options):
    return motion_vit.create_model("videomae_tiny", **TINY | options)


@pytest.fixture(scope="module")
def clips():
    return jax.device_put(np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32))


@functools.cache
def parameters(model):
    """Shapes of the parameters, by path."""
    params = jax.eval_shape(model.init, jax.random.key(0), np.zeros(SHAPE, np.float32))["params"]
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(params, sep="/").items()}


def random_variables(model):
    """Variables without zeros, so that every branch adds something."""
    generator = np.random.default_rng(1)
    values = {
        path: np.asarray(0.3 * generator.standard_normal(shape) + path.endswith("/scale"), np.float32)
        for path, shape in parameters(model).items()
    }
    return {"params": jax.device_put(traverse_util.unflatten_dict(values, sep="/"))}


@pytest.mark.fast_cases("learned")
@pytest.mark.parametrize(
    "options",
    [{"positions": "learned", "layer_scale": 0.1}, EVERYWHERE | {"motion_module": "m2a"}],
    ids=["learned", "cost_volume"],
)
def test_a_training_step_moves_every_parameter(options, clips):
    model = tiny(**options, depth=1)

    @jax.jit
    def step(params):
        return jax.grad(lambda params: jnp.sum(model.apply({"params": params}, clips, train=True) ** 2))(params)

    gradients = traverse_util.flatten_dict(step(random_variables(model)["params"]), sep="/")
    assert not [path for path, gradient in gradients.items() if np.abs(gradient).max() < 1e-6]


def test_the_average_of_normalised_tokens_is_the_normalised_average():
    generator = np.random.default_rng(2)
    tokens = np.asarray(generator.standard_normal((2, 3, 2, 4, 16)) + 5, np.float32)
    params = {"scale": np.asarray(generator.standard_normal(16), np.float32), "bias": np.ones(16, np.float32)}
    found = np.asarray(jax.jit(AverageNorm().apply)({"params": params}, tokens)).mean(axis=(1, 2, 3))
    expected = jax.jit(LayerNorm().apply)({"params": params}, tokens.mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_class_activation_map_adds_up_to_the_logit(clips):
    model = tiny()
    variables = random_variables(model)
    maps = class_activation_map(model, variables, clips, class_index=3)
    assert maps.shape == (2, 3, 2, 3)
    logits = jax.jit(model.apply)(variables, clips)
    bias = variables["params"]["head"]["bias"][3]
    np.testing.assert_allclose(maps.mean(axis=(1, 2, 3)) + bias, logits[:, 3], rtol=1e-4, atol=1e-4)
    assert grad_cam(model, variables, clips, "blocks/block1_output", 3).shape == maps.shape


def test_tokens_lie_where_their_pixels_are():
    model = tiny(positions="learned", depth=1)
    variables = random_variables(model)
    embed = jax.jit(lambda clips: motion_vit.apply_with_intermediates(model, variables, clips)[1]["embedding_output"])
    still = np.zeros((1, *SHAPE[1:]), np.float32)
    moved = still.copy()
    moved[0, 3, 9, 17] = 1
    assert np.argwhere(np.abs(embed(moved) - embed(still)).max(axis=-1) > 1e-6).tolist() == [[0, 1, 1, 2]]
    layout = model.token_layout("embedding_output", SHAPE[1:])
    assert (layout.frames, layout.rows, layout.columns, layout.temporal_stride, layout.stride) == (3, 2, 3, 2, 8)


def test_learned_positions_of_other_clips_are_the_nearest_ones():
    model = tiny(positions="learned", depth=1)
    variables = random_variables(model)
    embed = jax.jit(lambda clips: motion_vit.apply_with_intermediates(model, variables, clips)[1]["embedding_output"])
    few, many = (embed(np.zeros((1, frames, size, size, 3), np.float32)) for frames, size in ((6, 16), (12, 32)))
    twice = few.repeat(2, axis=1).repeat(2, axis=2).repeat(2, axis=3)
    np.testing.assert_array_equal(many, twice)


def test_a_fixed_table_needs_no_parameter_and_tells_places_apart(clips):
    assert "embedding/place_embedding" not in parameters(tiny())
    model = tiny()
    classify = jax.jit(functools.partial(model.apply, random_variables(model)))
    assert np.abs(classify(clips) - classify(clips[:, :, ::-1])).max() > 1e-3


def test_weights_without_cost_volumes_fit_blocks_that_have_them():
    plain, with_cost_volumes = parameters(tiny()), parameters(tiny(**ALTERNATING))
    assert plain.items() <= with_cost_volumes.items()
    added = with_cost_volumes.keys() - plain.keys()
    assert {path.split("attention/")[1].split("/")[0] for path in added} == {"rpb", "motion"}
    assert all(path.startswith("blocks/block0/") for path in added)


@pytest.mark.parametrize(("placement", "stages"), [("gg", ()), ("gl", ("blocks",)), ("ll", ("blocks",))])
def test_a_model_says_where_its_cost_volumes_are(placement, stages):
    assert tiny(placement=placement).cost_volume_stages() == stages
    assert tiny(placement="gl", depth=1).cost_volume_stages() == ()


@pytest.mark.slow
def test_blocks_in_a_loop_compute_the_same(clips):
    variables = random_variables(tiny(**ALTERNATING, depth=4))
    logits = {
        scan: jax.jit(tiny(**ALTERNATING, depth=4, scan_blocks=scan).apply)(variables, clips) for scan in (False, True)
    }
    np.testing.assert_allclose(logits[True], logits[False], rtol=1e-4, atol=1e-5)


def test_motion_modules_train_in_a_loop_that_computes_activations_again(clips):
    model = tiny(motion_module="tea", scan_blocks=True, remat="matmuls", stochastic_depth=0.2)
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)

    def loss(params, variables):
        rngs = {"dropout": jax.random.key(0)}
        logits, updates = model.apply(
            {**variables, "params": params}, clips, train=True, mutable=["batch_stats"], rngs=rngs
        )
        return jnp.sum(logits**2), updates

    gradients, updates = jax.eval_shape(jax.grad(loss, has_aux=True), variables["params"], variables)
    assert jax.tree.map(jnp.shape, {"params": gradients, **updates}) == jax.tree.map(jnp.shape, variables)


def test_frames_split_over_devices_give_the_same_logits():
    model = tiny(**ALTERNATING, frames=8)
    variables = random_variables(model)
    clips = jax.device_put(np.random.default_rng(3).standard_normal((2, 8, 16, 16, 3)).astype(np.float32))
    whole = jax.jit(model.apply)(variables, clips)
    devices = jax.devices()[:4]
    mesh = jax.make_mesh((1, 1, 4), ("data", "fsdp", "frames"), axis_types=(AxisType.Auto,) * 3, devices=devices)
    with jax.set_mesh(mesh):
        placed = jax.device_put(clips, NamedSharding(mesh, PartitionSpec("data", "frames")))
        split = jax.jit(model.with_frames_split("frames").apply)(variables, placed)
    np.testing.assert_allclose(split, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(clips):
    variables = jax.tree.map(lambda x: 0.3 * x, random_variables(tiny(depth=1)))
    logits = {dtype: jax.jit(tiny(depth=1, dtype=dtype).apply)(variables, clips) for dtype in ("bfloat16", "float32")}
    assert logits["bfloat16"].dtype == jnp.float32
    np.testing.assert_allclose(logits["bfloat16"], logits["float32"], atol=0.1 * float(np.std(logits["float32"])))


def attended(layer: str) -> dict[str, tuple[int, ...]]:
    """What global attention of two heads of eight channels stores."""
    vectors = (2, 18, 2, 8)
    return {f"{layer}/query": vectors, f"{layer}/key": vectors, f"{layer}/attention_weights": (2, 2, 18, 18)}


def test_intermediates_have_their_documented_names_and_shapes(clips):
    tokens = (2, 3, 2, 3, 16)
    model = tiny(**ALTERNATING, neighbours="both")
    _, found = jax.eval_shape(
        functools.partial(motion_vit.apply_with_intermediates, model), random_variables(model), clips
    )
    assert jax.tree.map(jnp.shape, found) == {
        "embedding_output": tokens,
        "blocks/block0/attention/cost_volume": (2, 2, 2, 3, 2, 9),
        "blocks/block0/attention/cost_volume_backward": (2, 2, 2, 3, 2, 9),
        "blocks/block0_output": tokens,
        **attended("blocks/block1/attention"),
        "blocks/block1_output": tokens,
        "norm_output": tokens,
    }


@pytest.mark.parametrize("positions", ["sinusoid", "learned"])
@pytest.mark.parametrize("shape", [(1, 2, 8, 8, 3), (1, 11, 41, 16, 3)])
def test_clips_of_any_size_and_length_are_classified(positions, shape):
    model = tiny(positions=positions)
    assert jax.eval_shape(model.apply, random_variables(model), np.zeros(shape, np.float32)).shape == (1, 5)


def test_every_parameter_belongs_to_one_layer():
    model = tiny(depth=11, motion_module="tam", positions="learned", layer_scale=0.1)
    paths = parameters(model)
    layers = model.layer_patterns()
    assert len(layers) == model.depth + 2
    numbers = {}
    for path in paths:
        (numbers[path],) = [number for number, layer in enumerate(layers) if re.fullmatch(layer, path)]
    assert set(numbers.values()) == set(range(len(layers)))
    assert numbers["embedding/place_embedding"] == 0
    assert numbers["blocks/block10/attention/qkv/query_bias"] == 11
    assert numbers["head/kernel"] == numbers["fc_norm/scale"] == 12


def test_a_published_head_starts_a_thousand_times_smaller_than_other_layers():
    model = tiny(width=256, heads=4, depth=1, num_classes=400, initialization="published")

    @jax.jit
    def start(key):
        params = model.init(key, jnp.zeros(SHAPE))["params"]
        # What is not returned is not compiled.
        return params["blocks"]["block0"]["mlp"]["fc1"]["kernel"], params["head"]["kernel"]

    inner, head = start(jax.random.key(0))
    np.testing.assert_allclose(np.std(inner), 0.02, rtol=0.05)
    np.testing.assert_allclose(np.std(head), 0.02e-3, rtol=0.05)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 5}, "frames is 5, but must be a multiple of tubelet_frames, 2"),
        ({"positions": "rotary"}, "must be one of sinusoid, learned"),
        ({"placement": "stage3"}, "must be one of gg, lg, gl, ll"),
        ({"heads": 5}, "heads is 5, but must divide the width, 16"),
        ({"image_size": 7}, "image_size is 7, but must be at least patch_size, 8"),
        ({"tubelet_frames": 0}, "tubelet_frames is 0, but must be a whole number from 1"),
        ({"temporal_attention": "cost_volume"}, "unknown option 'temporal_attention'"),
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
        ({}, (1, 6, 7, 16, 3), "at least 8 x 8"),
        ({}, (1, 1, 16, 16, 3), "at least 2 frames, so that there is a tubelet"),
        (EVERYWHERE, (1, 3, 16, 16, 3), "at least 4 frames, so that a tubelet has a neighbour in time"),
    ],
)
def test_clips_that_cannot_be_classified_are_refused(options, shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tiny(**options).init, jax.random.key(0), np.zeros(shape, np.float32))
