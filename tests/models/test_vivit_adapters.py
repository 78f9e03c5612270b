"""What stands between a frozen spatial encoder and a temporal one: adapters start without effect and see their part."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit

TINY = {
    **{"width": 16, "depth": 2, "temporal_depth": 1, "heads": 2, "patch_size": 8, "image_size": 16, "frames": 6},
    **{"num_classes": 5, "window": 3, "attention": "factorised_encoder"},
}
SHAPE = (2, 6, 16, 24, 3)  # 3 frames of 2 x 3 tubelets, where places are for 2 x 2
ADAPTERS = ("bottleneck", "attention", "emim")


def tiny(**options):
    return motion_vit.create_model("vivit_tiny", **TINY | options)


@pytest.fixture(scope="module")
def clips():
    return jax.device_put(np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32))


@pytest.fixture(scope="module")
def tokens():
    """A class token and 2 x 2 patches of 3 frames."""
    return jax.device_put(np.random.default_rng(2).standard_normal((2, 3, 5, 16)).astype(np.float32))


def random_variables(model, inputs, method=None):
    """Variables without zeros, so that every branch adds something."""
    generator = np.random.default_rng(1)
    shapes = jax.eval_shape(functools.partial(model.init, method=method), jax.random.key(0), inputs)
    values = {
        path: np.asarray(0.3 * generator.standard_normal(leaf.shape) + path.endswith("/scale"), np.float32)
        for path, leaf in traverse_util.flatten_dict(shapes, sep="/").items()
    }
    return jax.device_put(traverse_util.unflatten_dict(values, sep="/"))


def of_tokens(model):
    """The part of the model that the tokens of frames enter."""
    return jax.jit(functools.partial(model.apply, method="classify_frame_tokens"))


@pytest.mark.fast_cases("emim-class_token-1")
@pytest.mark.parametrize(
    ("adapter", "pooling", "queries"),
    [
        ("bottleneck", "class_token", 1),
        ("emim", "class_token", 1),
        ("emim", "mean", 1),
        ("attention", "class_token", 1),
        ("attention", "mean", 3),
    ],
)
def test_training_starts_from_what_the_model_computes_without_adapter(adapter, pooling, queries, tokens):
    tokens = tokens if pooling == "class_token" else tokens[:, :, 1:]
    model = tiny(adapter=adapter, pooling=pooling, adapter_queries=queries)
    plain = tiny(pooling=pooling)
    rest = random_variables(plain, tokens, "classify_frame_tokens")["params"]

    @jax.jit
    def start(key):
        params = model.init(key, tokens, method="classify_frame_tokens")["params"]
        # What is not returned is not compiled.
        return {name: part for name, part in params.items() if name not in rest}

    logits = of_tokens(model)({"params": start(jax.random.key(0)) | rest}, tokens)
    np.testing.assert_allclose(logits, of_tokens(plain)({"params": rest}, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.fast_cases("emim")
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_step_trains_all_of_the_adapter_and_nothing_that_is_frozen(adapter, clips):
    model = tiny(adapter=adapter, frozen="spatial", depth=1)

    @jax.jit
    def step(params):
        return jax.grad(lambda params: jnp.sum(model.apply({"params": params}, clips, train=True) ** 2))(params)

    gradients = traverse_util.flatten_dict(step(random_variables(model, clips)["params"]), sep="/")
    frozen = {path for path in gradients if any(re.fullmatch(each, path) for each in model.frozen_patterns())}
    assert {path.partition("/")[0] for path in frozen} == {"embedding", "places", "blocks", "norm"}
    assert {path for path, gradient in gradients.items() if not gradient.any()} == frozen


@pytest.mark.parametrize(
    ("adapter", "looks", "sees_order"),
    [("none", False, False), ("bottleneck", False, False), ("attention", True, False), ("emim", True, True)],
)
def test_adapters_see_what_a_class_token_leaves_out_and_cost_volumes_the_order_of_frames(
    adapter, looks, sees_order, tokens
):
    model = tiny(adapter=adapter)
    variables = random_variables(model, tokens, "classify_frame_tokens")
    classify = of_tokens(model)

    def difference(other):
        given, changed = (np.asarray(classify(variables, each)) for each in (tokens, other))
        return np.abs(given - changed).max()

    def turned(token):
        changed = np.array(tokens)
        changed[:, 1, token] *= -1
        return changed

    assert difference(turned(0)) > 1e-2  # the class token of a frame
    assert (difference(turned(3)) > 1e-2) == looks  # a patch
    assert difference(tokens[:, ::-1]) > 1e-2
    table = variables["params"]["temporal_places"]["place_embedding"]
    variables["params"]["temporal_places"]["place_embedding"] = jnp.zeros_like(table)
    assert (difference(tokens[:, ::-1]) > 1e-2) == sees_order


def test_tokens_of_fewer_bits_are_taken(tokens):
    model = tiny(adapter="emim")
    variables = random_variables(model, tokens, "classify_frame_tokens")
    few = tokens.astype(jnp.bfloat16)
    classify = of_tokens(model)
    np.testing.assert_array_equal(classify(variables, few), classify(variables, few.astype(np.float32)))


@pytest.mark.parametrize(
    ("adapter", "given", "volumes"),
    [
        ("bottleneck", (2, 3, 16), {}),
        ("attention", (2, 3, 4, 16), {}),
        ("emim", (2, 3, 16), {"adapter/attention/cost_volume": (2, 2, 2, 3, 2, 9)}),
    ],
)
def test_intermediates_have_their_documented_names_and_shapes(adapter, given, volumes, clips):
    model = tiny(adapter=adapter)
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)
    found = jax.eval_shape(functools.partial(motion_vit.apply_with_intermediates, model), variables, clips)[1]
    found = jax.tree.map(jnp.shape, found)
    assert found["frames_output"] == given
    assert {name: shape for name, shape in found.items() if name.startswith("adapter/")} == volumes
    assert model.cost_volume_stages() == (("adapter",) if volumes else ())
    tokens = 1 + 3 * (4 if adapter == "attention" else 1)
    assert found["temporal_blocks/block0/attention/attention_weights"] == (2, 2, tokens, tokens)


def test_tokens_of_cost_volumes_lie_on_the_patches_and_those_of_queries_nowhere():
    layout = tiny(adapter="emim").token_layout("adapter/attention/cost_volume", SHAPE[1:])
    assert (layout.frames, layout.rows, layout.columns, layout.stride) == (3, 2, 3, 8)
    with pytest.raises(motion_vit.UserError, match="tokens of learned queries"):
        tiny(adapter="attention").token_layout("temporal_blocks/block0_output", SHAPE[1:])


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_parameter_belongs_to_one_layer(adapter, clips):
    model = tiny(adapter=adapter)
    params = traverse_util.flatten_dict(jax.eval_shape(model.init, jax.random.key(0), clips)["params"], sep="/")
    for path in params:
        assert sum(bool(re.fullmatch(layer, path)) for layer in model.layer_patterns()) == 1, path


@pytest.mark.fast_cases("emim")
@pytest.mark.parametrize("adapter", ["attention", "emim"])
def test_clips_of_any_size_and_length_are_classified(adapter):
    model = tiny(adapter=adapter)
    variables = jax.eval_shape(model.init, jax.random.key(0), np.zeros(SHAPE, np.float32))
    for shape in ((1, 4, 8, 8, 3), (1, 11, 41, 16, 3)):
        assert jax.eval_shape(model.apply, variables, np.zeros(shape, np.float32)).shape == (1, 5)


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "joint", "adapter": "emim"}, "adapter is 'emim', but attention is 'joint', which has no second"),
        ({"adapter": "lora"}, "adapter is 'lora', but must be one of none, bottleneck, attention, emim"),
        ({"adapter_queries": 0}, "adapter_queries is 0, but must be a whole number from 1"),
        ({"adapter_ratio": 0.0}, "adapter_ratio is 0.0, but must be"),
    ],
    ids=str,
)
def test_a_wrong_option_is_explained(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        tiny(**options)


@pytest.mark.mistyped
def test_cost_volumes_need_two_frames():
    model = tiny(adapter="emim")
    with pytest.raises(ValueError, match="at least 4 frames, so that a tubelet has a neighbour in time"):
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 3, 16, 16, 3), np.float32))
