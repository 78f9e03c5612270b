"""Behaviour of ViViT on tiny models; its numbers are compared with the authors' in the golden tests."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import motion_vit
from motion_vit.visualization.class_activation import class_activation_map, grad_cam

TINY = {
    **{"width": 16, "depth": 2, "temporal_depth": 1, "heads": 2, "patch_size": 8, "image_size": 16, "frames": 6},
    **{"num_classes": 5, "window": 3},
}
SHAPE = (2, 6, 16, 24, 3)  # 3 frames of 2 x 3 tubelets, where places are for 2 x 2
JOINT_MEAN = {"pooling": "mean"}
ENCODER = {"attention": "factorised_encoder"}
SELF_ATTENTION = {"attention": "factorised_self_attention", "pooling": "mean"}
DOT_PRODUCT = {"attention": "factorised_dot_product", "pooling": "mean"}
COST_VOLUME = SELF_ATTENTION | {"temporal_attention": "cost_volume"}
MODELS = {"joint": {}, "joint_mean": JOINT_MEAN, "encoder": ENCODER, "self": SELF_ATTENTION, "dot": DOT_PRODUCT}


def tiny(**options):
    return motion_vit.create_model("vivit_tiny", **TINY | options)


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


def parameters(model, clips):
    """Shapes of the parameters, by path."""
    params = jax.eval_shape(model.init, jax.random.key(0), clips)["params"]
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(params, sep="/").items()}


def intermediates(model, clips):
    """Shapes of the intermediates, by name."""

    def run(clips):
        return motion_vit.apply_with_intermediates(model, model.init(jax.random.key(0), clips), clips)[1]

    return jax.tree.map(jnp.shape, jax.eval_shape(run, clips))


def gradients_of_step(model, clips):
    """Gradients of every parameter of a training step, by path."""

    @jax.jit
    def step(params):
        return jax.grad(lambda params: jnp.sum(model.apply({"params": params}, clips, train=True) ** 2))(params)

    return traverse_util.flatten_dict(step(random_variables(model)["params"]), sep="/")


@pytest.mark.fast_cases("self_attention")
@pytest.mark.parametrize(
    "options",
    [
        ENCODER | {"placement": "lg"},
        COST_VOLUME | {"depth": 1, "motion_module": "m2a", "attention_order": "time_space"},
    ],
    ids=["encoder", "self_attention"],
)
def test_a_training_step_moves_every_parameter(options, clips):
    gradients = gradients_of_step(tiny(**options), clips)
    assert not [path for path, gradient in gradients.items() if np.abs(gradient).max() < 1e-6]


def test_a_frozen_spatial_encoder_has_no_gradient_and_is_named(clips):
    model = tiny(**ENCODER, frozen="spatial", depth=1)
    gradients = gradients_of_step(model, clips)
    frozen = {path for path in gradients if any(re.fullmatch(each, path) for each in model.frozen_patterns())}
    assert {path for path, gradient in gradients.items() if not gradient.any()} == frozen
    assert {path.partition("/")[0] for path in frozen} == {"embedding", "places", "blocks", "norm"}
    assert tiny(**ENCODER).frozen_patterns() == ()


@pytest.mark.slow
def test_a_frozen_spatial_encoder_trains_on_what_it_gives_in_evaluation(clips):
    # Dropout, stochastic depth and BatchNorms of motion modules would change it.
    model = tiny(**ENCODER, frozen="spatial", dropout=0.5, stochastic_depth=0.5, motion_module="tea")
    variables = jax.jit(model.init)(jax.random.key(0), clips)
    encode = functools.partial(model.apply, method="frame_tokens")
    trained, updates = jax.jit(functools.partial(encode, train=True, mutable=["batch_stats"]))(variables, clips)
    np.testing.assert_allclose(trained, jax.jit(encode)(variables, clips), rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, updates["batch_stats"], variables["batch_stats"])


@pytest.mark.fast_cases("mean")
@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_a_factorised_encoder_can_be_run_in_two_parts(pooling, clips):
    model = tiny(**ENCODER, pooling=pooling, depth=1)
    variables = random_variables(model)
    tokens = jax.jit(functools.partial(model.apply, method="frame_tokens"))(variables, clips)
    assert tokens.shape == (2, 3, 6 + (pooling == "class_token"), 16)
    classify = jax.jit(functools.partial(model.apply, method="classify_frame_tokens", grid=(2, 3)))
    np.testing.assert_allclose(classify(variables, tokens), jax.jit(model.apply)(variables, clips), rtol=1e-5)


@pytest.mark.mistyped
def test_what_are_no_tokens_of_frames_is_refused(clips):
    model, tokens = tiny(**ENCODER), jnp.zeros((2, 3, 7, 16))
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)
    expected = r"\[batch, frames, 5, 16\], a class token and 2 x 2 patches .* got \(2, 3, 7, 16"
    with pytest.raises(ValueError, match=expected):
        jax.eval_shape(functools.partial(model.apply, method="classify_frame_tokens"), variables, tokens)
    with pytest.raises(motion_vit.UserError, match="attention='joint' has no tokens of frames"):
        jax.eval_shape(functools.partial(tiny().apply, method="frame_tokens"), variables, clips)


@pytest.mark.parametrize(
    ("options", "sees_order"),
    [(JOINT_MEAN, False), (SELF_ATTENTION, False), (COST_VOLUME, True), (JOINT_MEAN | {"placement": "lg"}, True)],
    ids=["joint", "self", "self_cost_volume", "joint_cost_volume"],
)
def test_cost_volumes_tell_the_order_of_frames_without_places(options, sees_order, clips):
    model = tiny(**options, tubelet_frames=1, depth=1)
    variables = random_variables(model)
    table = variables["params"]["places"]["place_embedding"]
    variables["params"]["places"]["place_embedding"] = jnp.zeros_like(table)
    classify = jax.jit(functools.partial(model.apply, variables))
    difference = np.abs(classify(clips) - classify(clips[:, ::-1])).max()
    assert difference > 1e-2 if sees_order else difference < 1e-4


def test_half_of_the_heads_look_over_time_and_half_within_the_frame(clips):
    model = tiny(**DOT_PRODUCT, depth=1)
    variables = random_variables(model)
    variables["params"]["blocks"]["block0"]["mlp"]["fc2"] = jax.tree.map(
        jnp.zeros_like, variables["params"]["blocks"]["block0"]["mlp"]["fc2"]
    )
    run = jax.jit(lambda clips: motion_vit.apply_with_intermediates(model, variables, clips)[1]["blocks/block0_output"])
    moved = np.array(clips)
    moved[:, 2:4, :8, :8] += 1  # the tubelet (1, 0, 0)
    changed = np.abs(run(moved) - run(clips)).max(axis=(0, 4)) > 1e-6
    expected = np.zeros_like(changed)
    expected[:, 0, 0] = expected[1] = True
    np.testing.assert_array_equal(changed, expected)


def test_a_class_token_takes_no_part_in_cost_volumes(clips):
    model = tiny(placement="lg")
    variables = random_variables(model)
    run = jax.jit(lambda clips: motion_vit.apply_with_intermediates(model, variables, clips)[1])
    one, other = run(clips), run(clips[::-1])
    tokens = [np.asarray(each["blocks/block0_output"]) for each in (one, other)]
    np.testing.assert_array_equal(tokens[0][:, 0], tokens[1][:, 0])
    assert np.abs(tokens[0][:, 1:] - tokens[1][:, 1:]).max() > 1e-3
    assert np.abs(one["norm_output"] - other["norm_output"]).max() > 1e-3


def test_weights_without_cost_volumes_fit_models_that_have_them(clips):
    for plain, with_them in (
        ({}, {"placement": "gl"}),
        (ENCODER, ENCODER | {"placement": "lg"}),
        (SELF_ATTENTION, COST_VOLUME),
    ):
        few, many = parameters(tiny(**plain), clips), parameters(tiny(**with_them), clips)
        assert few.items() <= many.items()
        assert {path.split("attention/")[1].split("/")[0] for path in many.keys() - few.keys()} == {"rpb", "motion"}
        assert tiny(**plain).cost_volume_stages() == ()
        assert tiny(**with_them).cost_volume_stages() == ("blocks",)


def test_a_class_activation_map_adds_up_to_the_logit(clips):
    model = tiny(**SELF_ATTENTION, depth=1)
    variables = random_variables(model)
    maps = class_activation_map(model, variables, clips, class_index=3)
    assert maps.shape == (2, 3, 2, 3)
    logits = jax.jit(model.apply)(variables, clips)
    bias = variables["params"]["head"]["bias"][3]
    np.testing.assert_allclose(maps.mean(axis=(1, 2, 3)) + bias, logits[:, 3], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_frames_of_a_factorised_encoder_have_a_grad_cam(clips):
    model = tiny(**ENCODER, frozen="spatial")
    assert grad_cam(model, random_variables(model), clips, "blocks/block0_output", 3).max() > 0


@pytest.mark.parametrize(("options", "reads"), [({}, "a class token"), (ENCODER | JOINT_MEAN, "features of frames")])
def test_without_an_average_over_tubelets_there_is_no_class_activation_map(options, reads):
    with pytest.raises(motion_vit.UserError, match=f"reads {reads}, not an average over tubelets"):
        tiny(**options).activation_layer()


def test_a_token_of_the_temporal_encoder_lies_in_the_whole_frame():
    layout = tiny(**ENCODER).token_layout("temporal_blocks/block0/attention/query", SHAPE[1:])
    assert (layout.frames, layout.rows, layout.columns, layout.class_tokens) == (3, 1, 1, 1)
    assert (layout.seen, layout.temporal_stride) == ((16, 24), 2)
    with pytest.raises(motion_vit.UserError, match="has no place in the frame"):
        tiny(**ENCODER).token_layout("norm_output", SHAPE[1:])


def test_places_of_other_clips_are_the_nearest_ones():
    model = tiny(**SELF_ATTENTION, depth=1)
    variables = random_variables(model)
    embed = jax.jit(lambda clips: motion_vit.apply_with_intermediates(model, variables, clips)[1]["embedding_output"])
    few, many = (embed(np.zeros((1, frames, size, size, 3), np.float32)) for frames, size in ((6, 16), (12, 32)))
    np.testing.assert_array_equal(many, few.repeat(2, axis=1).repeat(2, axis=2).repeat(2, axis=3))


@pytest.mark.slow
def test_blocks_in_a_loop_compute_the_same(clips):
    options = ENCODER | {"placement": "lg", "depth": 4, "temporal_depth": 2}
    variables = random_variables(tiny(**options))
    logits = {scan: jax.jit(tiny(**options, scan_blocks=scan).apply)(variables, clips) for scan in (False, True)}
    np.testing.assert_allclose(logits[True], logits[False], rtol=1e-4, atol=1e-5)


@pytest.mark.fast_cases("self")
@pytest.mark.parametrize("options", [ENCODER, SELF_ATTENTION], ids=["encoder", "self"])
def test_motion_modules_train_in_a_loop_that_computes_activations_again(options, clips):
    model = tiny(**options, motion_module="tea", scan_blocks=True, remat="matmuls", stochastic_depth=0.2, dropout=0.1)
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)

    def loss(params, variables):
        rngs = {"dropout": jax.random.key(0)}
        logits, updates = model.apply(
            {**variables, "params": params}, clips, train=True, mutable=["batch_stats"], rngs=rngs
        )
        return jnp.sum(logits**2), updates

    gradients, updates = jax.eval_shape(jax.grad(loss, has_aux=True), variables["params"], variables)
    assert jax.tree.map(jnp.shape, {"params": gradients, **updates}) == jax.tree.map(jnp.shape, variables)


@pytest.mark.fast_cases("dot")
@pytest.mark.parametrize("options", [COST_VOLUME, DOT_PRODUCT], ids=["self", "dot"])
def test_frames_split_over_devices_give_the_same_logits(options):
    model = tiny(**options, frames=8)
    variables = random_variables(model)
    clips = jax.device_put(np.random.default_rng(3).standard_normal((2, 8, 16, 16, 3)).astype(np.float32))
    whole = jax.jit(model.apply)(variables, clips)
    devices = jax.devices()[:4]
    mesh = jax.make_mesh((1, 1, 4), ("data", "fsdp", "frames"), axis_types=(AxisType.Auto,) * 3, devices=devices)
    with jax.set_mesh(mesh):
        placed = jax.device_put(clips, NamedSharding(mesh, PartitionSpec("data", "frames")))
        split = jax.jit(model.with_frames_split("frames").apply)(variables, placed)
    np.testing.assert_allclose(split, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, ENCODER, ENCODER | JOINT_MEAN])
def test_frames_that_are_no_grid_are_not_split(options):
    with pytest.raises(motion_vit.UserError, match=r"cannot split frames.* Set the config field mesh\.frames to 1"):
        tiny(**options).with_frames_split("frames")


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(clips):
    variables = jax.tree.map(lambda x: 0.3 * x, random_variables(tiny(**ENCODER, depth=1)))
    logits = {
        dtype: jax.jit(tiny(**ENCODER, depth=1, dtype=dtype).apply)(variables, clips)
        for dtype in ("bfloat16", "float32")
    }
    assert logits["bfloat16"].dtype == jnp.float32
    np.testing.assert_allclose(logits["bfloat16"], logits["float32"], atol=0.1 * float(np.std(logits["float32"])))


def stored(layer: str, sequences: int, tokens: int, heads: int = 2) -> dict[str, tuple[int, ...]]:
    """What attention of heads of eight channels stores."""
    vectors = (sequences, tokens, heads, 8)
    weights = {f"{layer}/attention_weights": (sequences, heads, tokens, tokens)}
    return {f"{layer}/query": vectors, f"{layer}/key": vectors, **weights}


GRID = (2, 3, 2, 3, 16)
VOLUME = (2, 2, 2, 3, 2, 9)


@pytest.mark.fast_cases("joint", "encoder", "cost_volume", "dot")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {},
            {"embedding_output": (2, 19, 16), "blocks/block0_output": (2, 19, 16), "norm_output": (2, 16)}
            | stored("blocks/block0/attention", 2, 19),
        ),
        (
            JOINT_MEAN,
            {"embedding_output": GRID, "blocks/block0_output": GRID, "norm_output": GRID}
            | stored("blocks/block0/attention", 2, 18),
        ),
        (
            ENCODER,
            {"embedding_output": (6, 7, 16), "blocks/block0_output": (6, 7, 16), "frames_output": (2, 3, 16)}
            | {"temporal_blocks/block0_output": (2, 4, 16), "norm_output": (2, 16)}
            | stored("blocks/block0/attention", 6, 7)
            | stored("temporal_blocks/block0/attention", 2, 4),
        ),
        (
            ENCODER | JOINT_MEAN | {"placement": "ll"},
            {"embedding_output": (6, 6, 16), "blocks/block0_output": (6, 6, 16), "frames_output": (2, 3, 16)}
            | {"temporal_blocks/block0_output": (2, 3, 16), "norm_output": (2, 16)}
            | {"blocks/block0/attention/cost_volume": VOLUME}
            | stored("temporal_blocks/block0/attention", 2, 3),
        ),
        (
            SELF_ATTENTION,
            {"embedding_output": GRID, "blocks/block0_output": GRID, "norm_output": GRID}
            | stored("blocks/block0/attention", 6, 6)
            | stored("blocks/block0/temporal_attention", 12, 3),
        ),
        (
            COST_VOLUME,
            {"embedding_output": GRID, "blocks/block0_output": GRID, "norm_output": GRID}
            | stored("blocks/block0/attention", 6, 6)
            | {"blocks/block0/temporal_attention/cost_volume": VOLUME},
        ),
        (
            DOT_PRODUCT,
            {"embedding_output": GRID, "blocks/block0_output": GRID, "norm_output": GRID}
            | stored("blocks/block0/attention", 6, 6, heads=1)
            | stored("blocks/block0/attention/temporal_attention", 12, 3, heads=1),
        ),
    ],
    ids=["joint", "joint_mean", "encoder", "encoder_mean", "self", "cost_volume", "dot"],
)
def test_intermediates_have_their_documented_names_and_shapes(options, expected, clips):
    assert intermediates(tiny(**options, depth=1), clips) == expected


@pytest.mark.fast_cases("joint", "encoder", "self")
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_clips_of_any_size_and_length_are_classified(options):
    model = tiny(**options, depth=1)
    variables = jax.eval_shape(model.init, jax.random.key(0), np.zeros(SHAPE, np.float32))
    for shape in ((1, 2, 8, 8, 3), (1, 11, 41, 16, 3)):
        assert jax.eval_shape(model.apply, variables, np.zeros(shape, np.float32)).shape == (1, 5)


@pytest.mark.fast_cases("options1-*")
@pytest.mark.parametrize(("options", "layers"), [(SELF_ATTENTION, 13), (ENCODER | {"temporal_depth": 2}, 16)])
def test_every_parameter_belongs_to_one_layer(options, layers, clips):
    model = tiny(**options, depth=11, motion_module="tam")
    params = jax.eval_shape(model.init, jax.random.key(0), clips)["params"]
    patterns = model.layer_patterns()
    assert len(patterns) == layers
    paths = traverse_util.flatten_dict(params, sep="/")
    numbers = {}
    for path in paths:
        (numbers[path],) = [number for number, layer in enumerate(patterns) if re.fullmatch(layer, path)]
    assert set(numbers.values()) == set(range(layers))
    assert (numbers["places/place_embedding"], numbers["blocks/block10/attention/qkv/bias"]) == (0, 11)
    assert numbers["head/kernel"] == layers - 1


def test_a_published_model_starts_with_equal_classes_and_xavier_kernels():
    model = tiny(width=256, heads=4, depth=1, initialization="published")

    @jax.jit
    def start(key):
        params = model.init(key, jnp.zeros(SHAPE))["params"]
        # What is not returned is not compiled.
        return params["blocks"]["block0"], params["head"]["kernel"], params["places"]["class_token"]

    block, head, class_token = start(jax.random.key(0, impl="rbg"))
    # A uniform distribution within a limit has a deviation of the limit over the root of 3.
    for kernel, inputs, outputs in (
        (block["attention"]["qkv"]["kernel"], 256, 256),
        (block["attention"]["proj"]["kernel"], 256, 256),
        (block["mlp"]["fc1"]["kernel"], 256, 1024),
    ):
        np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (inputs + outputs)), rtol=0.02)
        np.testing.assert_allclose(np.abs(kernel).max(), np.sqrt(6 / (inputs + outputs)), rtol=0.02)
    assert not head.any()
    assert not class_token.any()


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 5}, "frames is 5, but must be a multiple of tubelet_frames, 2"),
        ({"attention": "divided"}, "must be one of joint, factorised_encoder, factorised_self_attention"),
        ({"pooling": "max"}, "must be one of class_token, mean"),
        ({"heads": 5}, "heads is 5, but must divide the width, 16"),
        (DOT_PRODUCT | {"heads": 1}, "heads is 1, but must be even"),
        (DOT_PRODUCT | {"pooling": "class_token"}, "a grid without a class token: it must be 'mean'"),
        ({"image_size": 7}, "image_size is 7, but must be at least patch_size, 8"),
        ({"temporal_attention": "cost_volume"}, "'factorised_self_attention', or placement 'lg' puts cost volumes"),
        (SELF_ATTENTION | {"placement": "lg"}, "placement is 'lg', but attention is 'factorised_self_attention'"),
        ({"placement": "ll"}, "no block lets the class token see a tubelet"),
        ({"placement": "lg", "depth": 1}, "no block lets the class token see a tubelet"),
        ({"frozen": "spatial"}, "it must be 'factorised_encoder'"),
        ({"temporal_depth": 0}, "temporal_depth is 0, but must be a whole number from 1"),
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
        (COST_VOLUME, (1, 3, 16, 16, 3), "at least 4 frames, so that a tubelet has a neighbour in time"),
    ],
)
def test_clips_that_cannot_be_classified_are_refused(options, shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tiny(**options).init, jax.random.key(0), np.zeros(shape, np.float32))
