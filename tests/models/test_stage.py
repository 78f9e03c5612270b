"""Blocks that run as a compiled loop compute what the same blocks compute one after the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from motion_vit.models.stage import Stage
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.linear import Linear
from motion_vit.modules.stochastic_depth import StochasticDepth


class NormBlock(nn.Module):
    """A residual block with running statistics."""

    @nn.compact
    def __call__(self, x, rate, *, train):
        y = jnp.tanh(Linear(x.shape[-1], nn.initializers.normal(0.5))(BatchNorm()(x, train=train)))
        return x + StochasticDepth()(y, rate, train=train)


class PlainBlock(nn.Module):
    """A residual block of another kind, without statistics."""

    @nn.compact
    def __call__(self, x, rate, *, train):
        y = jnp.sin(Linear(2 * x.shape[-1], nn.initializers.normal(0.5), name="up")(x))
        return x + StochasticDepth()(Linear(x.shape[-1], name="down")(y), rate, train=train)


def make_stage(period, rates, **options):
    kinds = (NormBlock, PlainBlock)[:period]
    return Stage(lambda index, **binding: kinds[index % period](**binding), rates, period, **options)


X = jax.device_put(np.random.default_rng(0).standard_normal((4, 2, 3, 3, 5)).astype(np.float32))


def run(stage, variables, x=X, seed=0):
    """Output and new statistics of a training step, and the gradients of parameters and input."""

    def loss(params, x):
        output, updates = stage.apply(
            {**variables, "params": params},
            x,
            train=True,
            rngs={"dropout": jax.random.key(seed)},
            mutable=["batch_stats"],
        )
        return jnp.sum(output**2), (output, updates)

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(variables["params"], x)


@functools.cache
def initialised(period, depth):
    stage = make_stage(period, (0.0,) * depth)
    shapes = jax.eval_shape(functools.partial(stage.init, train=False), jax.random.key(1), X)
    rng = np.random.default_rng(2)
    params = jax.tree.map(lambda leaf: 0.5 * rng.standard_normal(leaf.shape, np.float32), shapes["params"])
    # Statistics that tell the blocks apart.
    statistics = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32), shapes["batch_stats"])
    return jax.device_put({"params": params, "batch_stats": statistics})


@functools.cache
def plain_run(period, depth):
    return run(make_stage(period, (0.0,) * depth), initialised(period, depth))


@pytest.mark.fast_cases("1-3-blocks")
@pytest.mark.parametrize(("period", "depth", "remat"), [(1, 3, "blocks"), (2, 5, "none"), (2, 5, "matmuls")])
def test_a_loop_over_blocks_trains_as_blocks_in_turn_do(period, depth, remat):
    variables = initialised(period, depth)
    expected = plain_run(period, depth)
    actual = run(make_stage(period, (0.0,) * depth, scan_blocks=True, remat=remat), variables)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_a_loop_over_blocks_evaluates_as_blocks_in_turn_do():
    stages = [make_stage(2, (0.3,) * 5, scan_blocks=scan) for scan in (False, True)]
    plain, scanned = (jax.jit(functools.partial(stage.apply, train=False))(initialised(2, 5), X) for stage in stages)
    np.testing.assert_allclose(scanned, plain, rtol=1e-5, atol=1e-5)


def test_variables_do_not_know_of_the_loop():
    plain, scanned = (
        jax.eval_shape(lambda stage=stage: stage.init(jax.random.key(0), X, train=False))
        for stage in (make_stage(2, (0.0,) * 5), make_stage(2, (0.0,) * 5, scan_blocks=True))
    )
    assert plain == scanned
    assert list(plain["params"]) == [f"block{index}" for index in range(5)]


def test_intermediates_do_not_know_of_the_loop():
    names = {}

    @functools.partial(jax.jit, static_argnums=0)
    def look_inside(scan, variables):
        stage = make_stage(2, (0.0,) * 5, scan_blocks=scan)
        found = stage.apply(variables, X, train=False, mutable=["intermediates"])[1]["intermediates"]
        names[scan] = list(found)  # compiled functions sort what they return
        return found

    plain, scanned = (look_inside(scan, initialised(2, 5)) for scan in (False, True))
    assert names[True] == [f"block{index}_output" for index in range(5)]
    for name, (value,) in plain.items():
        np.testing.assert_array_equal(scanned[name][0], value)


def test_every_kind_of_block_is_in_the_program_once():
    def products(**options):
        stage = make_stage(2, (0.1,) * 5, **options)
        classify = functools.partial(stage.apply, train=False)
        return jax.jit(classify).lower(initialised(2, 5), X).as_text().count("stablehlo.dot_general")

    assert products() == 3 * 1 + 2 * 2
    # One round of both kinds in the loop, and the block that is left after two rounds.
    assert products(scan_blocks=True) == (1 + 2) + 1


def test_each_run_of_equal_blocks_is_a_loop_of_its_own():
    def program(**options):
        stage = make_stage(1, (0.3,) * 5, **options)
        return jax.jit(functools.partial(stage.apply, train=False)).lower(initialised(1, 5), X)

    plain, scanned = program(), program(scan_blocks=True, runs=(0, 1, 3))
    assert [each.as_text().count("stablehlo.dot_general") for each in (plain, scanned)] == [5, 1 + 1 + 1]
    outputs = [each.compile()(initialised(1, 5), X) for each in (plain, scanned)]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-5, atol=1e-5)


def test_each_block_of_a_loop_has_its_own_rate_and_its_own_draws():
    class Branch(nn.Module):
        """Adds 1, and 10 for each earlier block."""

        @nn.compact
        def __call__(self, x, rate, *, train):
            self.param("unused", nn.initializers.zeros, ())
            return 10 * x + StochasticDepth()(jnp.ones_like(x), rate, train=train)

    rates = (0.0, 0.5, 0.5)
    stage = Stage(lambda index, **binding: Branch(**binding), rates, scan_blocks=True)
    x = jnp.zeros((64, 1, 1, 1, 1))
    variables = jax.jit(functools.partial(stage.init, train=False))(jax.random.key(0), x)
    apply = jax.jit(lambda key: stage.apply(variables, x, train=True, rngs={"dropout": key}))
    output = np.asarray(apply(jax.random.key(0))).ravel()
    # Digits of the output: what each branch gave, twice as much where the rate of one half did not drop it.
    assert set(output) == {100.0, 102.0, 120.0, 122.0}
    np.testing.assert_array_equal(output, np.asarray(apply(jax.random.key(0))).ravel())
    assert (output != np.asarray(apply(jax.random.key(1))).ravel()).any()
