"""Behaviour of TimeSformer on tiny models; its numbers are compared with the authors' in the golden tests."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit

TINY = {
    "width": 16,
    "depth": 2,
    "heads": 2,
    "patch_size": 8,
    "image_size": 16,
    "frames": 3,
    "num_classes": 5,
    "window": 3,
}
SHAPE = (2, 3, 16, 24, 3)  # 2 x 3 patches, where the position embedding is for 2 x 2
COST_VOLUME = {"temporal_attention": "cost_volume"}
SCHEMES = ("divided_space_time", "joint_space_time", "space_only")


def tiny(**options):
    return motion_vit.create_model("timesformer_tiny", **TINY | options)


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


@pytest.mark.fast_cases("divided_space_time")
@pytest.mark.parametrize(
    "options",
    [*({"attention": scheme} for scheme in SCHEMES), COST_VOLUME, {"motion_module": "m2a"}],
    ids=lambda options: "".join(options.values()),
)
def test_a_training_step_moves_every_parameter(options, clips):
    model = tiny(**options, depth=1)

    @jax.jit
    def step(params):
        return jax.grad(lambda params: jnp.sum(model.apply({"params": params}, clips, train=True) ** 2))(params)

    gradients = step(random_variables(model)["params"])
    gradients = traverse_util.flatten_dict(gradients, sep="/")
    assert not [path for path, gradient in gradients.items() if np.abs(gradient).max() < 1e-5]


def test_blocks_after_the_first_start_as_those_of_an_image_model():
    @jax.jit
    def start(key):
        blocks = tiny(**COST_VOLUME).init(key, jnp.zeros(SHAPE))["params"]["blocks"]
        # What is not returned is not compiled.
        return blocks["block0"]["temporal_fc"], blocks["block1"]["temporal_fc"]

    first, second = start(jax.random.key(0))
    assert np.abs(first["kernel"]).max() > 0
    for leaf in jax.tree.leaves(second):
        np.testing.assert_array_equal(leaf, 0)


def test_without_its_temporal_fc_a_block_has_no_attention_over_time(clips):
    model = tiny()
    params = random_variables(model)["params"]
    for block in params["blocks"].values():
        block["temporal_fc"] = jax.tree.map(jnp.zeros_like, block["temporal_fc"])
    params["embedding"]["time_embedding"] = jnp.zeros_like(params["embedding"]["time_embedding"])
    run = jax.jit(functools.partial(motion_vit.apply_with_intermediates, model))
    _, ours = run({"params": params}, clips)
    still = np.concatenate([clips[:, :1]] * 3, axis=1)
    _, frozen = run({"params": params}, still)
    # After a block, the class token has seen all frames: patches of the first are those of a frozen clip until then.
    first_frame = slice(1, 1 + 2 * 3)
    name = "blocks/block0_output"
    np.testing.assert_allclose(ours[name][:, first_frame], frozen[name][:, first_frame], rtol=1e-4, atol=1e-4)
    assert np.abs(ours[name][:, 0] - frozen[name][:, 0]).max() > 1e-3


@pytest.mark.fast_cases("divided", "cost_volume")
@pytest.mark.parametrize(
    ("options", "sees_order"),
    [({"attention": "joint_space_time"}, False), ({}, False), (COST_VOLUME, True)],
    ids=["joint", "divided", "cost_volume"],
)
def test_cost_volumes_tell_the_order_of_frames_without_a_time_embedding(options, sees_order, clips):
    model = tiny(**options, depth=1)
    variables = random_variables(model)
    variables["params"]["embedding"]["time_embedding"] = jnp.zeros((3, 16))
    classify = jax.jit(functools.partial(model.apply, variables))
    difference = np.abs(classify(clips) - classify(clips[:, ::-1])).max()
    assert difference > 1e-2 if sees_order else difference < 1e-4


def test_weights_of_a_timesformer_fit_one_with_cost_volumes(clips):
    plain, with_cost_volumes = (parameters(tiny(**options, depth=1), clips) for options in ({}, COST_VOLUME))
    assert plain.items() <= with_cost_volumes.items()
    added = {path.split("temporal_attention/")[1].split("/")[0] for path in with_cost_volumes.keys() - plain.keys()}
    assert added == {"rpb", "motion"}


def test_a_clip_of_equal_frames_is_to_frames_alone_what_one_frame_is(clips):
    model = tiny(attention="space_only")
    classify = jax.jit(functools.partial(model.apply, random_variables(model)))
    one = clips[:, :1]
    np.testing.assert_allclose(classify(np.concatenate([one] * 3, axis=1)), classify(one), rtol=1e-4, atol=1e-5)


def test_blocks_in_a_loop_compute_the_same(clips):
    variables = random_variables(tiny())
    logits = {scan: jax.jit(tiny(scan_blocks=scan).apply)(variables, clips) for scan in (False, True)}
    np.testing.assert_allclose(logits[True], logits[False], rtol=1e-4, atol=1e-5)


def test_motion_modules_train_in_a_loop_that_computes_activations_again(clips):
    model = tiny(motion_module="tea", scan_blocks=True, remat="matmuls")
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)

    def loss(params, variables):
        logits, updates = model.apply({**variables, "params": params}, clips, train=True, mutable=["batch_stats"])
        return jnp.sum(logits**2), updates

    gradients, updates = jax.eval_shape(jax.grad(loss, has_aux=True), variables["params"], variables)
    assert jax.tree.map(jnp.shape, {"params": gradients, **updates}) == jax.tree.map(jnp.shape, variables)


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(clips):
    variables = jax.tree.map(lambda x: 0.3 * x, random_variables(tiny(depth=1)))
    logits = {dtype: jax.jit(tiny(depth=1, dtype=dtype).apply)(variables, clips) for dtype in ("bfloat16", "float32")}
    assert logits["bfloat16"].dtype == jnp.float32
    np.testing.assert_allclose(logits["bfloat16"], logits["float32"], atol=0.1 * float(np.std(logits["float32"])))


def test_random_draws_follow_the_key(clips):
    model = tiny(stochastic_depth=0.5, dropout=0.1, depth=1)
    variables = random_variables(model)
    step = jax.jit(lambda key: model.apply(variables, clips, train=True, rngs={"dropout": key}))
    first, again, other = (step(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


EMBEDDED = {"embedding_output": (2, 19, 16), "norm_output": (2, 16)}
BLOCKS = {"blocks/block0_output": (2, 19, 16), "blocks/block1_output": (2, 19, 16)}


def attended(layer: str, sequences: int, tokens: int) -> dict[str, tuple[int, ...]]:
    """What global attention of two heads of eight channels stores."""
    vectors = (sequences, tokens, 2, 8)
    return {
        f"{layer}/query": vectors,
        f"{layer}/key": vectors,
        f"{layer}/attention_weights": (sequences, 2, tokens, tokens),
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {},
            EMBEDDED
            | BLOCKS
            | {
                f"blocks/block{block}/{name}": shape
                for block in (0, 1)
                for name, shape in (attended("temporal_attention", 12, 3) | attended("attention", 6, 7)).items()
            },
        ),
        (
            COST_VOLUME | {"depth": 1, "neighbours": "both"},
            EMBEDDED
            | {
                "blocks/block0_output": (2, 19, 16),
                "blocks/block0/temporal_attention/cost_volume": (2, 2, 2, 3, 2, 9),
                "blocks/block0/temporal_attention/cost_volume_backward": (2, 2, 2, 3, 2, 9),
            }
            | attended("blocks/block0/attention", 6, 7),
        ),
        (
            {"attention": "joint_space_time", "depth": 1, "motion_module": "m2a"},
            EMBEDDED
            | {
                "blocks/block0_output": (2, 19, 16),
                "blocks/block0/motion/frame_attention": (2, 3, 3),
                "blocks/block0/motion/gate": (2, 3, 2, 3, 16),
            }
            | attended("blocks/block0/attention", 2, 19),
        ),
        (
            {"attention": "space_only", "depth": 1},
            {
                "embedding_output": (6, 7, 16),
                "blocks/block0_output": (6, 7, 16),
                "norm_output": (2, 16),
            }
            | attended("blocks/block0/attention", 6, 7),
        ),
    ],
    ids=["divided", "cost_volume", "joint", "space_only"],
)
def test_intermediates_have_their_documented_names_and_shapes(options, expected, clips):
    assert intermediates(tiny(**options), clips) == expected


@pytest.mark.parametrize("shape", [(1, 1, 8, 8, 3), (1, 5, 40, 16, 3)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_clips_of_any_size_and_length_are_classified(scheme, shape):
    model = tiny(attention=scheme)
    variables = jax.eval_shape(model.init, jax.random.key(0), np.zeros(SHAPE, np.float32))
    logits = jax.eval_shape(model.apply, variables, np.zeros(shape, np.float32))
    assert logits.shape == (1, 5)


def test_every_parameter_belongs_to_one_layer(clips):
    model = tiny(depth=11, motion_module="tam")
    paths = traverse_util.flatten_dict(jax.eval_shape(model.init, jax.random.key(0), clips)["params"], sep="/")
    layers = model.layer_patterns()
    assert len(layers) == model.depth + 2
    numbers = {}
    for path in paths:
        (numbers[path],) = [number for number, layer in enumerate(layers) if re.fullmatch(layer, path)]
    assert set(numbers.values()) == set(range(len(layers)))
    assert numbers["embedding/time_embedding"] == 0
    assert numbers["blocks/block1/mlp/fc1/kernel"] == 2
    assert numbers["blocks/block10/mlp/fc1/kernel"] == 11
    assert numbers["head/kernel"] == numbers["norm/scale"] == 12


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "space"}, "must be one of divided_space_time, joint_space_time, space_only"),
        ({"temporal_attention": "local"}, "must be one of global, cost_volume"),
        (COST_VOLUME | {"attention": "space_only"}, "it must be 'divided_space_time'"),
        ({"motion_module": "tsm"}, "must be one of none, m2a"),
        ({"window": 4}, "window is 4, but must be an odd whole number"),
        ({"heads": 5}, "heads is 5, but must divide the width, 16"),
        ({"heads": 0}, "heads is 0, but must be a whole number from 1"),
        ({"image_size": 7}, "image_size is 7, but must be at least patch_size, 8"),
        ({"depth": 0}, "depth is 0, but must be a whole number from 1 to 100"),
        ({"dropout": 1.0}, "dropout is 1.0, but must be a number from 0 to below 1"),
        ({"remat": "dots"}, "must be one of none, matmuls, blocks"),
    ],
    ids=str,
)
def test_a_wrong_option_is_explained(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        tiny(**options)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 16, 16), r"\[batch, frames, height, width, 3\]"),
        ((1, 3, 7, 16, 3), "at least 8 x 8"),
        ((1, 1, 16, 16, 3), "at least 2 frames"),
    ],
)
def test_clips_that_cannot_be_classified_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tiny(**COST_VOLUME).init, jax.random.key(0), np.zeros(shape, np.float32))
