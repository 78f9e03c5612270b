import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.modules.emim import Emim


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 5, 6, 8)), jnp.float32)


def randomised(variables, seed=0):
    """Fills every parameter with noise, so that no branch is silent."""
    leaves, structure = jax.tree.flatten(variables)
    rng = np.random.default_rng(seed)
    return structure.unflatten([jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32) for leaf in leaves])


def test_a_fresh_layer_is_local_attention_without_motion(x):
    options = {"heads": 2, "window": 3}
    layer = Emim(**options)
    variables = layer.init(jax.random.key(0), x, train=False)
    plain = {name: value for name, value in variables["params"].items() if name != "motion"}
    expected = Emim(**options, motion_branch=False).apply({"params": plain}, x, train=False)
    np.testing.assert_array_equal(layer.apply(variables, x, train=False), expected)


def test_the_last_two_frames_get_the_same_output(x):
    layer = Emim(heads=2, window=3)
    output = layer.apply(randomised(layer.init(jax.random.key(0), x, train=False)), x, train=False)
    assert output.shape == x.shape
    np.testing.assert_array_equal(output[:, -1], output[:, -2])
    assert np.abs(output[:, -2] - output[:, -3]).max() > 1e-3


def test_each_frame_sees_the_next_frame_only(x):
    layer = Emim(heads=2, window=3)
    variables = randomised(layer.init(jax.random.key(0), x, train=False))
    changed = x.at[:, 2].add(1.0)
    difference = np.abs(layer.apply(variables, changed, train=False) - layer.apply(variables, x, train=False))
    assert (difference.max(axis=(0, 2, 3, 4)) > 1e-4).tolist() == [False, True, True, True]


def test_stride_two_pairing_skips_a_frame(x):
    layer = Emim(heads=2, window=3, frame_offset=2)
    variables = randomised(layer.init(jax.random.key(0), x, train=False))
    changed = x.at[:, 1].add(1.0)
    difference = np.abs(layer.apply(variables, changed, train=False) - layer.apply(variables, x, train=False))
    # Frame 1 is the query of pair (1, 3), which also serves frames 2 and 3; pair (0, 2) does not hold it.
    assert (difference.max(axis=(0, 2, 3, 4)) > 1e-4).tolist() == [False, True, True, True]


def test_both_neighbours_make_the_layer_symmetric_in_time(x):
    layer = Emim(heads=2, window=3, neighbours="both")
    variables = randomised(layer.init(jax.random.key(0), x, train=False))
    forwards = layer.apply(variables, x, train=False)
    backwards = layer.apply(variables, x[:, ::-1], train=False)[:, ::-1]
    np.testing.assert_allclose(forwards, backwards, atol=1e-5)


def test_ablation_switches_remove_their_parameters(x):
    names = {
        option: set(Emim(heads=2, window=3, **{option: False}).init(jax.random.key(0), x, train=False)["params"])
        for option in ("motion_branch", "position_bias")
    }
    assert names == {"motion_branch": {"qkv", "rpb", "proj"}, "position_bias": {"qkv", "motion", "proj"}}


def test_the_cost_volume_is_among_the_intermediates(x):
    layer = Emim(heads=2, window=3, neighbours="both")
    variables = layer.init(jax.random.key(0), x, train=False)
    assert set(variables) == {"params"}
    _, state = layer.apply(variables, x, train=False, mutable=["intermediates"])
    assert {name: value[0].shape for name, value in state["intermediates"].items()} == {
        "cost_volume": (2, 3, 5, 6, 2, 9),
        "cost_volume_backward": (2, 3, 5, 6, 2, 9),
    }


def test_gradients_reach_every_parameter(x):
    layer = Emim(heads=2, window=3)
    variables = randomised(layer.init(jax.random.key(0), x, train=False))
    gradients = jax.grad(lambda v: jnp.sum(layer.apply(v, x, train=False) ** 2))(variables)
    assert all(np.abs(gradient).max() > 0 for gradient in jax.tree.leaves(gradients))
