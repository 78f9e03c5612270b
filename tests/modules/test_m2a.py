import functools
import re

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from motion_vit.models.frame_sharding import splittable_operators
from motion_vit.modules.m2a import M2A, PUBLISHED_MODULES
from motion_vit.modules.motion_module import make_motion_module
from motion_vit.modules.patch_attention import PatchAttention
from motion_vit.ops.frame_difference import frame_difference
from motion_vit.ops.platform import target_platform

X = jax.device_put(np.random.default_rng(0).standard_normal((2, 4, 4, 4, 16), np.float32))


def initialised(module, x=X):
    shapes = jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), x)
    rng = np.random.default_rng(1)  # noise, so that no part is silent
    return jax.device_put(jax.tree.map(lambda leaf: np.asarray(rng.uniform(0.1, 0.6, leaf.shape), np.float32), shapes))


@pytest.mark.parametrize("kind", ["none", *PUBLISHED_MODULES])
def test_every_module_keeps_shape_and_dtype(kind):
    module = make_motion_module(kind, dtype=jnp.bfloat16)
    x = X.astype(jnp.bfloat16)
    apply = functools.partial(module.init_with_output, train=False)
    y, variables = jax.eval_shape(apply, jax.random.key(0), x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert bool(variables) == (kind != "none")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} <= {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("kind", ["m2a", "tdn+tam", "tea+attention", "patch_attention"])
def test_a_program_of_any_batch_size_has_no_gathers(kind):
    # Indices into arrays whose batch is symbolic become gathers, which formats of exports lack or run slowly.
    module = make_motion_module(kind)
    variables = initialised(module)
    (batch,) = jax.export.symbolic_shape("b")
    with target_platform("onnx"):
        program = jax.export.export(jax.jit(functools.partial(module.apply, train=False)))(
            variables, jax.ShapeDtypeStruct((batch, *X.shape[1:]), X.dtype)
        )
    operations = set(re.findall(r"stablehlo\.(\w+)", program.mlir_module()))
    assert "dot_general" in operations
    assert not operations & {"gather", "dynamic_gather"}


@pytest.mark.parametrize("attention", ["frames", "patches"])
def test_motion_is_what_neighbouring_frames_differ_by(attention):
    still = np.broadcast_to(X[:, :1], X.shape)
    variables = initialised(M2A(attention=attention))
    moving, resting = (
        np.asarray(jax.jit(functools.partial(M2A(motion, attention).apply, train=False))(variables, still))
        for motion in ("difference", "none")
    )
    # Without motion all frames of a clip at rest are the same; the difference to the zeros behind its end is not.
    np.testing.assert_allclose(resting, np.broadcast_to(resting[:, :1], X.shape), atol=1e-5)
    np.testing.assert_allclose(moving[:, :-1], np.broadcast_to(moving[:, :1], X[:, :-1].shape), atol=1e-5)
    assert np.abs(moving[:, -1] - moving[:, 0]).max() > 1e-3


def test_frames_that_patches_do_not_tile_differ_from_frame_to_frame():
    x = X[:, :, :3, :3]
    attention = PatchAttention(patch_size=2)
    order = np.random.default_rng(2).permutation(9)

    def permuted(x):
        return x.reshape(2, 4, 9, 16)[:, :, order].reshape(x.shape)

    attend = jax.jit(functools.partial(attention.apply, {}, find_motion=frame_difference))
    # Differences between positions, as in the released code, would depend on their order.
    attended = np.asarray(attend(x))
    np.testing.assert_allclose(attend(permuted(x)), permuted(attended), atol=1e-5)
    assert np.abs(attended - x).max() > 1e-2


def test_attention_of_frames_is_among_the_intermediates():
    module = M2A()
    apply = functools.partial(module.apply, train=False, mutable=["intermediates"])
    _, state = jax.jit(apply)(initialised(module), X)
    (weights,) = state["intermediates"]["frame_attention"]
    assert weights.shape == (2, 4, 4)
    np.testing.assert_allclose(np.sum(weights, axis=-1), 1, rtol=1e-5)


@pytest.mark.fast_cases("m2a")
@pytest.mark.parametrize("kind", ["m2a", "patch_attention", "tdn+tam", "tea+attention"])
def test_split_frames_train_as_whole_clips_do(kind):
    module = make_motion_module(kind)
    variables = initialised(module)
    mesh = jax.make_mesh((2, 4), ("data", "frames"), axis_types=(AxisType.Auto,) * 2)

    def loss(params, x):
        with splittable_operators("frames"):
            y, statistics = module.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(y)), (y, statistics)

    step = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    expected = step(variables["params"], X)
    with jax.set_mesh(mesh):
        x = jax.device_put(X, NamedSharding(mesh, PartitionSpec("data", "frames")))
        actual = step(jax.device_put(variables["params"], NamedSharding(mesh, PartitionSpec())), x)
    largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected[0]))
    chex.assert_trees_all_close(actual, expected, rtol=1e-4, atol=1e-6 * max(largest, 1))


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("m3a", X.shape, "motion_module is 'm3a', but must be one of none, m2a"),
        ("m2a", (2, 4, 4, 4, 7), "reduces channels 8 times, got only 7"),
        ("tdn", (2, 4, 1, 4, 16), "expected at least 2 x 2 positions, got 1 x 4"),
    ],
)
def test_what_a_module_cannot_work_on_is_named(kind, shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            functools.partial(make_motion_module(kind).init, train=False), jax.random.key(0), np.ones(shape, np.float32)
        )


@pytest.mark.mistyped
def test_unknown_parts_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="attention of M2A is 'flow', but must be one of none, frames, tam, patches"):
        M2A(attention="flow")


def test_tam_names_the_number_of_frames_that_it_fits():
    module = make_motion_module("tam")
    variables = initialised(module)
    with pytest.raises(ValueError, match="for clips of 4 frames, got 3"):
        jax.eval_shape(functools.partial(module.apply, train=False), variables, X[:, :3])
