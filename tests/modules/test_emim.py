import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.modules.emim import Emim


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((2, 4, 5, 6, 8), np.float32)


# Compiled whole: operation by operation, every layer would compile dozens of small programs.
def initialise(layer, x):
    return jax.jit(functools.partial(layer.init, train=False))(jax.random.key(0), x)


@functools.cache
def compiled(layer):
    return jax.jit(functools.partial(layer.apply, train=False))


def compute(layer, variables, x):
    return np.asarray(compiled(layer)(variables, x))


def random_variables(layer, x, seed=0):
    """Fills every parameter with noise, so that no branch is silent."""
    shapes = jax.eval_shape(functools.partial(layer.init, train=False), jax.random.key(0), x)
    leaves, structure = jax.tree.flatten(shapes)
    rng = np.random.default_rng(seed)
    return structure.unflatten([np.asarray(rng.normal(0, 0.3, leaf.shape), np.float32) for leaf in leaves])


def test_a_fresh_layer_is_local_attention_without_motion(x):
    options = {"heads": 2, "window": 3}
    layer = Emim(**options)
    variables = initialise(layer, x)
    plain = {name: value for name, value in variables["params"].items() if name != "motion"}
    expected = compute(Emim(**options, motion_branch=False), {"params": plain}, x)
    np.testing.assert_array_equal(compute(layer, variables, x), expected)


def test_the_last_two_frames_get_the_same_output(x):
    layer = Emim(heads=2, window=3)
    output = compute(layer, random_variables(layer, x), x)
    assert output.shape == x.shape
    np.testing.assert_array_equal(output[:, -1], output[:, -2])
    assert np.abs(output[:, -2] - output[:, -3]).max() > 1e-3


def test_each_frame_sees_the_next_frame_only(x):
    layer = Emim(heads=2, window=3)
    variables = random_variables(layer, x)
    changed = x.copy()
    changed[:, 2] += 1
    difference = np.abs(compute(layer, variables, changed) - compute(layer, variables, x))
    assert (difference.max(axis=(0, 2, 3, 4)) > 1e-4).tolist() == [False, True, True, True]


def test_stride_two_pairing_skips_a_frame(x):
    layer = Emim(heads=2, window=3, frame_offset=2)
    variables = random_variables(layer, x)
    changed = x.copy()
    changed[:, 1] += 1
    difference = np.abs(compute(layer, variables, changed) - compute(layer, variables, x))
    # Frame 1 is the query of pair (1, 3), which also serves frames 2 and 3; pair (0, 2) does not hold it.
    assert (difference.max(axis=(0, 2, 3, 4)) > 1e-4).tolist() == [False, True, True, True]


def test_both_neighbours_make_the_layer_symmetric_in_time(x):
    layer = Emim(heads=2, window=3, neighbours="both")
    variables = random_variables(layer, x)
    forwards = compute(layer, variables, x)
    backwards = compute(layer, variables, x[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(forwards, backwards, atol=1e-5)


def test_ablation_switches_remove_their_parameters(x):
    names = {
        option: set(random_variables(Emim(heads=2, window=3, **{option: False}), x)["params"])
        for option in ("motion_branch", "position_bias")
    }
    assert names == {"motion_branch": {"qkv", "rpb", "proj"}, "position_bias": {"qkv", "motion", "proj"}}


def test_the_cost_volume_is_among_the_intermediates(x):
    layer = Emim(heads=2, window=3, neighbours="both")
    variables = random_variables(layer, x)
    assert set(variables) == {"params"}
    _, state = jax.eval_shape(functools.partial(layer.apply, train=False, mutable=["intermediates"]), variables, x)
    assert {name: value[0].shape for name, value in state["intermediates"].items()} == {
        "cost_volume": (2, 3, 5, 6, 2, 9),
        "cost_volume_backward": (2, 3, 5, 6, 2, 9),
    }


def test_gradients_reach_every_parameter(x):
    layer = Emim(heads=2, window=3)
    variables = random_variables(layer, x)
    gradients = jax.jit(jax.grad(lambda v, x: jnp.sum(layer.apply(v, x, train=False) ** 2)))(variables, x)
    assert all(np.abs(gradient).max() > 0 for gradient in jax.tree.leaves(gradients))
