"""Behaviour of MViT on tiny models; its numbers are compared with torchvision's in the golden tests."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import motion_vit
from motion_vit.models.checked_model import variable_shapes
from motion_vit.training.parallel import mesh as meshes

# Two stages on 2 frames of 8 x 8 and 4 x 4 patches; keys of the second block are on a finer grid than its queries.
TINY = {"width": 8, "depths": (1, 2), "key_stride": 2, "image_size": 32, "frames": 4, "num_classes": 5}
SHAPE = (2, 4, 32, 32, 3)


def tiny(**options):
    return motion_vit.create_model("mvit_v2_tiny", **TINY | options)


@pytest.fixture(scope="module")
def clips():
    return jax.device_put(np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32))


@functools.cache
def random_variables(model):
    """Variables without zeros, so that every branch adds something."""
    generator = np.random.default_rng(1)

    def draw(path, leaf):
        values = 0.3 * generator.standard_normal(leaf.shape)
        return np.asarray(values + (path[-1].key == "scale"), np.float32)

    return {"params": jax.device_put(jax.tree_util.tree_map_with_path(draw, variable_shapes(model)["params"]))}


def intermediates(model, clip_shape=SHAPE):
    """Shapes of the intermediates, by name."""

    def run(clips):
        return motion_vit.apply_with_intermediates(model, random_variables(model), clips)[1]

    return {name: array.shape for name, array in jax.eval_shape(run, np.zeros(clip_shape, np.float32)).items()}


@pytest.mark.slow
def test_blocks_in_a_loop_that_compute_activations_again_train_as_blocks_in_turn_do(clips):
    def gradients(**execution):
        model = tiny(depths=(1, 3), **execution)
        loss = jax.jit(jax.grad(lambda params: jnp.sum(model.apply({"params": params}, clips, train=True) ** 2)))
        return loss(random_variables(tiny(depths=(1, 3)))["params"])

    expected = gradients()
    actual = gradients(scan_blocks=True, remat="matmuls")
    for (path, found), wanted in zip(
        jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max(), err_msg=str(path))
    flat = traverse_util.flatten_dict(expected, sep="/")
    still = {path for path, gradient in flat.items() if np.abs(gradient).max() <= 1e-6}
    # The class token has no relative positions, and behind the last block nothing else is read. What is added to all
    # keys alike changes no weight.
    last = "blocks/block3/attention"
    shifts = {f"blocks/block{block}/attention/key_pool/norm/bias" for block in range(4)}
    assert still - shifts == {f"{last}/positions/{axis}" for axis in ("frames", "rows", "columns")} | {
        f"{last}/query_pool/depthwise/kernel"
    }


@pytest.mark.slow
def test_of_a_loop_with_motion_modules_and_drops_the_shapes_are_those_of_the_parameters(clips):
    model = tiny(
        depths=(1, 3), motion_module="tea", scan_blocks=True, remat="blocks", stochastic_depth=0.2, dropout=0.5
    )
    variables = jax.eval_shape(model.init, jax.random.key(0), clips)

    def loss(params, variables):
        rngs = {"dropout": jax.random.key(0)}
        logits, updates = model.apply(
            {**variables, "params": params}, clips, train=True, mutable=["batch_stats"], rngs=rngs
        )
        return jnp.sum(logits**2), updates

    gradients, updates = jax.eval_shape(jax.grad(loss, has_aux=True), variables["params"], variables)
    assert jax.tree.map(jnp.shape, {"params": gradients, **updates}) == jax.tree.map(jnp.shape, variables)


@pytest.mark.slow
def test_bfloat16_is_close_to_float32_on_clips_that_are_split_over_devices(clips):
    variables = jax.tree.map(lambda x: 0.3 * x, random_variables(tiny()))
    expected = jax.jit(tiny().apply)(variables, clips)
    mesh = meshes.make_mesh(fsdp=2, devices=jax.devices()[:2])
    with jax.set_mesh(mesh):
        placed = jax.device_put(clips, meshes.batch_sharding(mesh))
        found = jax.jit(tiny(dtype="bfloat16").apply)(variables, placed)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=0.1 * float(jnp.std(expected)))


def test_intermediates_have_their_documented_names_and_shapes():
    def attended(block, heads, queries, keys):
        # 4 more channels for the frames of keys, or 2, and as many as their rows and columns.
        width = 8 + 2 + 2 * round(((keys - 1) / 2) ** 0.5)
        layer = f"blocks/block{block}/attention"
        return {
            f"{layer}/query": (2, queries, heads, width),
            f"{layer}/key": (2, keys, heads, width),
            f"{layer}/attention_weights": (2, heads, queries, keys),
            f"blocks/block{block}_output": (2, queries, 8 * heads),
        }

    assert intermediates(tiny()) == {
        "embedding_output": (2, 129, 8),
        **attended(0, 1, 129, 33),
        **attended(1, 2, 33, 129),
        **attended(2, 2, 33, 33),
        "norm_output": (2, 16),
    }


@pytest.mark.fast_cases("{}-32")
@pytest.mark.parametrize("size", [32, 50])
@pytest.mark.parametrize("options", [{}, {"motion_module": "m2a", "depths": (1, 1, 2), "frames": 5}], ids=str)
def test_layouts_have_as_many_tokens_as_the_intermediates_that_they_describe(options, size):
    model = tiny(**options)
    clip_shape = (model.frames, size, size, 3)
    for name, shape in intermediates(model, (1, *clip_shape)).items():
        if name == "norm_output":
            with pytest.raises(motion_vit.UserError, match="features of a class token"):
                model.token_layout(name, clip_shape)
        elif not name.endswith("weights"):
            layout = model.token_layout(name, clip_shape)
            grid = (layout.frames, layout.rows, layout.columns)
            expected = {"gate": grid, "frame_attention": (layout.frames, layout.frames)}
            assert shape[1:4] == expected.get(name.rpartition("/")[2], (1 + np.prod(grid), *shape[2:4])), name


def test_tokens_lie_in_the_middle_of_the_pixels_that_they_are_made_of(clips):
    model = tiny(depths=(1,))
    variables = random_variables(model)

    def token(clips):
        inside = motion_vit.apply_with_intermediates(model, variables, clips)[1]["embedding_output"]
        return inside[0, 1:].reshape(2, 8, 8, 8)[1, 3, 5].sum()

    seen = [np.unique(axis) for axis in np.nonzero(np.asarray(jax.jit(jax.grad(token))(clips[:1])))[1:4]]
    layout = model.token_layout("embedding_output", SHAPE[1:])
    assert layout.clip_frames[1] == seen[0].mean() == 2
    middles = [layout.first_centre + layout.stride * place for place in (3, 5)]
    assert middles == [seen[1].mean() + 0.5, seen[2].mean() + 0.5]


@pytest.mark.fast_cases("shape1")
@pytest.mark.parametrize("shape", [(1, 1, 4, 4, 3), (1, 7, 41, 30, 3)])
def test_clips_of_any_size_and_length_are_classified(shape):
    model = tiny(depths=(1, 1, 1))
    assert jax.eval_shape(model.apply, random_variables(model), np.zeros(shape, np.float32)).shape == (1, 5)


def test_every_parameter_belongs_to_one_layer():
    model = tiny(depths=(1, 10), motion_module="tam")
    paths = traverse_util.flatten_dict(variable_shapes(model)["params"], sep="/")
    layers = model.layer_patterns()
    assert len(layers) == 13
    numbers = {}
    for path in paths:
        (numbers[path],) = [number for number, layer in enumerate(layers) if re.fullmatch(layer, path)]
    assert set(numbers.values()) == set(range(13))
    assert numbers["class_token"] == numbers["stem/bias"] == 0
    assert numbers["blocks/block10/attention/positions/rows"] == 11
    assert numbers["head/kernel"] == numbers["norm/scale"] == 12


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "heads is 3, but must divide the width, 8"),
        ({"depths": (1, 1, 1, 1, 1)}, "depths is .* must be a tuple of 1 to 4 items, one a stage, each a whole number"),
        ({"depths": (1, 0)}, "depths is"),
        ({"key_stride": 0}, "key_stride is 0, but must be a whole number from 1"),
        ({"depthwise_implementation": "conv"}, "must be None, or one of xla_conv, shifted, shifted_conv, xla_conv2d"),
        ({"patch_size": 16}, "unknown option 'patch_size'"),
    ],
    ids=str,
)
def test_a_wrong_option_is_explained(options, message):
    with pytest.raises(motion_vit.UserError, match=message):
        tiny(**options)


def test_what_an_mvit_does_not_do_is_told():
    with pytest.raises(motion_vit.UserError, match=r"MViT cannot split frames over devices\. Set .* mesh\.frames to 1"):
        tiny().with_frames_split("frames")
    with pytest.raises(motion_vit.UserError, match="no class activation map: its classifier reads a class token"):
        tiny().activation_layer()
