import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from motion_vit.modules.batch_norm import BatchNorm


@pytest.fixture
def x():
    return np.asarray(np.random.default_rng(0).normal(3.0, 2.0, (16, 2, 3, 3, 4)), np.float32)


def initialised(layer, x):
    """The variables of a new layer: compiled whole, as all below, and not operation by operation."""
    return jax.jit(functools.partial(layer.init, train=False))(jax.random.key(0), x)


@functools.partial(jax.jit, static_argnums=0)
def train_step(layer, variables, x):
    return layer.apply(variables, x, train=True, mutable=["batch_stats"])


def test_training_normalises_each_channel_and_keeps_the_unbiased_variance(x):
    layer = BatchNorm()
    output, state = train_step(layer, initialised(layer, x), x)
    channels = np.asarray(output).reshape(-1, 4)
    np.testing.assert_allclose(channels.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(channels.std(0), 1, atol=1e-4)
    values = x.reshape(-1, 4)
    np.testing.assert_allclose(state["batch_stats"]["mean"], 0.1 * values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(state["batch_stats"]["var"], 0.9 + 0.1 * values.var(0, ddof=1), rtol=1e-5)


def test_evaluation_uses_the_running_statistics(x):
    variables = {
        "params": {"scale": np.full(4, 2, np.float32), "bias": np.ones(4, np.float32)},
        "batch_stats": {"mean": np.full(4, 3, np.float32), "var": np.full(4, 4, np.float32)},
    }
    output = jax.jit(functools.partial(BatchNorm(epsilon=0.0).apply, train=False))(variables, x)
    np.testing.assert_allclose(output, (x - 3) / 2 * 2 + 1, rtol=1e-5, atol=1e-5)


def test_initialising_does_not_move_the_statistics(x):
    variables = jax.jit(functools.partial(BatchNorm().init, train=True))(jax.random.key(0), x)
    assert variables["batch_stats"]["mean"].tolist() == [0] * 4
    assert variables["batch_stats"]["var"].tolist() == [1] * 4


def test_a_large_mean_does_not_spoil_the_variance():
    x = np.asarray(np.random.default_rng(0).normal(1000.0, 0.1, (64, 1, 1, 1, 1)), np.float32)
    layer = BatchNorm(epsilon=0.0)
    output, _ = train_step(layer, initialised(layer, x), x)
    np.testing.assert_allclose(np.std(np.asarray(output)), 1, rtol=1e-3)


@pytest.mark.parametrize("running_mean", [0.0, 90.0])
def test_statistics_of_bfloat16_are_those_of_its_values(running_mean):
    x = np.asarray(np.random.default_rng(0).normal(100.0, 2.0, (64, 8, 5, 5, 3)), jnp.bfloat16)
    layer = BatchNorm(momentum=0.0, dtype=jnp.bfloat16)
    variables = initialised(layer, x)
    variables["batch_stats"]["mean"] = np.full(3, running_mean, np.float32)
    output, state = train_step(layer, variables, x)
    values = np.asarray(x, np.float64).reshape(-1, 3)
    np.testing.assert_allclose(state["batch_stats"]["mean"], values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(state["batch_stats"]["var"], values.var(0, ddof=1), rtol=1e-3)
    expected = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(np.asarray(output, np.float64).reshape(-1, 3), expected, rtol=2**-8, atol=1e-2)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_are_orthogonal_to_what_normalisation_takes_away(x, dtype):
    # Neither a shift nor a scale of a channel changes the output, so that no gradient lies along either.
    layer = BatchNorm(epsilon=0.0)
    values = x.astype(dtype)
    variables = initialised(layer, values)
    weights = np.asarray(np.random.default_rng(1).normal(size=x.shape), np.float32)

    def loss(values):
        return jnp.sum(weights * train_step(layer, variables, values.astype(dtype))[0])

    gradient = np.asarray(jax.jit(jax.grad(loss))(values.astype(np.float32)), np.float64).reshape(-1, 4)
    centred = np.asarray(values, np.float64).reshape(-1, 4)
    centred -= centred.mean(0)
    size = np.abs(gradient).sum(0)
    tolerance = 1e-5 if dtype == jnp.float32 else 2e-3  # the gradient passes through bfloat16
    np.testing.assert_array_less(np.abs(gradient.sum(0)) / size, tolerance)
    np.testing.assert_array_less(np.abs((gradient * centred).sum(0)) / size, tolerance)


def test_groups_are_normalised_each_by_itself_and_move_the_statistics_together(x):
    layer = BatchNorm()
    variables = initialised(layer, x)
    output, state = train_step(BatchNorm(groups=4), variables, x)
    parts = [train_step(layer, variables, part) for part in np.split(x, 4)]
    np.testing.assert_allclose(output, np.concatenate([part for part, _ in parts]), rtol=1e-5, atol=1e-5)
    mean = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *(statistics for _, statistics in parts))
    for name, value in mean["batch_stats"].items():
        np.testing.assert_allclose(state["batch_stats"][name], value, rtol=1e-5, atol=1e-6)


def test_a_batch_that_the_groups_do_not_divide_is_refused_in_training_alone(x):
    layer = BatchNorm(groups=3)
    variables = initialised(layer, x)
    evaluate = functools.partial(layer.apply, train=False)
    assert jax.eval_shape(evaluate, variables, x).shape == x.shape
    with pytest.raises(ValueError, match="3 parts of the batch, but 16 examples"):
        train_step(layer, variables, x)


def test_statistics_of_a_sharded_batch_are_those_of_the_whole(x):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    layer = BatchNorm()
    variables = initialised(layer, x)
    whole = train_step(layer, variables, x)
    chex.assert_trees_all_close(train_step(layer, variables, sharded), whole, rtol=1e-5, atol=1e-5)
