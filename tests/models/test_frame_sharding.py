"""Frames split over devices: the same numbers, at the price of an exchange of the frames at the borders."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import motion_vit
from motion_vit.errors import UserError
from motion_vit.models.frame_sharding import constrain_frames, splittable_operators
from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.convolution_block import ConvolutionBlock
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention

BATCH, FRAMES, SIDE, HEADS, CHANNELS = 4, 8, 3, 2, 16
SHAPE = (BATCH, FRAMES, SIDE, SIDE, CHANNELS)


def make_mesh(data, frames):
    axes = ("data", "fsdp", "frames")
    devices = jax.devices()[: data * frames]
    return jax.make_mesh((data, 1, frames), axes, axis_types=(AxisType.Auto,) * 3, devices=devices)


MESH = make_mesh(2, 4)


def make_block(kind, *, keep_frames):
    if kind == "convolution":
        return ConvolutionBlock()
    if kind == "global":
        return AttentionBlock(GlobalAttention(HEADS, parent=None))
    options = {"frame_offset": 2, "neighbours": "both"} if kind == "emim, two frames away, both ways" else {}
    return AttentionBlock(Emim(HEADS, window=3, keep_frames=keep_frames, parent=None, **options))


def randomised(variables):
    """Noise in place of every parameter, so that no branch is silent."""
    rng = np.random.default_rng(0)
    return jax.device_put(
        jax.tree.map(lambda leaf: np.asarray(rng.normal(0.1, 0.3, leaf.shape), np.float32), variables)
    )


def training_step(block, frame_axis):
    """Output of a block, its new statistics, and the gradients of parameters and input."""

    def loss(params, x):
        with splittable_operators(frame_axis):
            x = constrain_frames(x, frame_axis)
            y, statistics = block.apply({"params": params}, x, train=True, mutable=["batch_stats"])
            return jnp.sum(jnp.sin(y)), (constrain_frames(y, frame_axis), statistics)

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))


@functools.cache
def sharded_step(kind):
    """The compiled step of a block whose frames are split over four devices, and its arguments."""
    block = make_block(kind, keep_frames=True)
    x = jax.device_put(np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32))
    variables = jax.eval_shape(functools.partial(block.init, train=False), jax.random.key(0), x)
    params = randomised(variables["params"])
    with jax.set_mesh(MESH):
        arguments = (
            jax.device_put(params, NamedSharding(MESH, PartitionSpec())),
            jax.device_put(x, NamedSharding(MESH, PartitionSpec("data", "frames"))),
        )
        return training_step(block, "frames").lower(*arguments).compile(), arguments


def collectives(program):
    """Kind and result shapes of every collective operation of a compiled program."""
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
    text = re.sub(r"/\*.*?\*/", "", program.as_text())  # comments count the elements of tuples
    found = re.findall(rf"= (\S+|\([^=]*\)) ({kinds})(?:-start)?\(", text)
    assert len(found) == len(re.findall(rf" (?:{kinds})(?:-start)?\(", text))
    return [(kind, [shape_of(dims) for dims in re.findall(r"[a-z]\d+\[([\d,]*)\]", result)]) for result, kind in found]


def shape_of(dimensions):
    return tuple(int(size) for size in dimensions.split(",") if size)


BLOCKS = ["convolution", "emim", "emim, two frames away, both ways", "global"]


@pytest.mark.fast_cases("emim")
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_over_split_frames_trains_as_over_whole_clips(kind):
    step, arguments = sharded_step(kind)
    expected = training_step(make_block(kind, keep_frames=False), None)(*jax.device_get(arguments))
    for actual, leaf in zip(jax.tree.leaves(step(*arguments)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(actual, leaf, rtol=1e-4, atol=1e-5 * np.abs(leaf).max())


@pytest.mark.parametrize("kind", [kind for kind in BLOCKS if kind != "global"])
def test_of_activations_only_the_frames_at_the_borders_travel(kind):
    found = collectives(sharded_step(kind)[0])
    exchanged = [shape for operation, shapes in found for shape in shapes if operation == "collective-permute"]
    assert exchanged
    # Kernels of five frames and frame offsets of two reach over two frames of the neighbour's.
    assert all(shape[:2] in ((BATCH // 2, 1), (BATCH // 2, 2)) for shape in exchanged)
    # All else are sums: of parameters' gradients and BatchNorm's statistics.
    assert {operation for operation, _ in found} == {"collective-permute", "all-reduce"}
    largest = max(np.prod(shape) for operation, shapes in found for shape in shapes if operation == "all-reduce")
    assert largest <= 5**3 * CHANNELS


def test_global_attention_gathers_keys_and_values_alone():
    found = collectives(sharded_step("global")[0])
    gathered = [shape for operation, shapes in found for shape in shapes if operation == "all-gather"]
    assert gathered == [(BATCH // 2, FRAMES * SIDE * SIDE, HEADS, CHANNELS // HEADS)] * 2
    assert "all-to-all" not in {operation for operation, _ in found}


CLIPS = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 32, 32, 3)).astype(np.float32))


def build(**options):
    smallest = {
        "widths": (8, 8, 16, 16),
        "depths": (1, 1, 2, 1),
        "head_channels": 8,
        "num_classes": 5,
        "window": 3,
        "depthwise_implementation": "xla_conv",  # compiles fastest
    }
    return motion_vit.create_model("uniformer_emim_tiny", **smallest | options)


def model_step(model, clips):
    """Logits and gradients of a training step of a whole model."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), CLIPS)
    statistics = jax.device_put(jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes["batch_stats"]))

    @jax.jit
    def step(params, clips):
        def loss(params):
            variables = {"params": params, "batch_stats": statistics}
            logits, _ = model.apply(variables, clips, train=True, mutable=["batch_stats"])
            return jnp.sum(logits**2), logits

        return jax.grad(loss, has_aux=True)(params)

    return step(randomised(shapes["params"]), clips)


@pytest.mark.slow
def test_logits_and_gradients_of_a_model_are_those_of_whole_clips():
    mesh = make_mesh(2, 2)
    clips = jax.device_put(CLIPS, NamedSharding(mesh, PartitionSpec("data", "frames")))
    with jax.set_mesh(mesh):
        actual = model_step(build(frame_axis="frames"), clips)
    expected = model_step(build(), CLIPS)
    largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    # A relative change of the clips by 1e-7 moves these numbers by 2e-5 of the largest.
    chex.assert_trees_all_close(actual, expected, rtol=1e-3, atol=1e-4 * largest)


@functools.cache
def shapes_of(**options):
    """Shapes of a model's variables."""
    return jax.eval_shape(build(**options).init, jax.random.key(0), CLIPS)


def test_parameters_do_not_know_of_the_frame_axis():
    assert shapes_of(frame_axis="frames") == shapes_of()


def test_a_model_without_a_mesh_says_what_to_set():
    model = build(frame_axis="frames")
    variables = shapes_of(frame_axis="frames")
    with pytest.raises(UserError, match=r"the axes of the mesh are \(\)\. Run the model under jax.set_mesh"):
        jax.eval_shape(model.apply, variables, CLIPS)


def test_frames_that_the_devices_do_not_divide_are_refused():
    model = build(frame_axis="frames")
    variables = shapes_of(frame_axis="frames")
    message = "4 frames of tokens cannot be split evenly over the 8 devices along the mesh axis 'frames'"
    with jax.set_mesh(make_mesh(1, 8)), pytest.raises(UserError, match=message):
        jax.eval_shape(model.apply, variables, CLIPS)
