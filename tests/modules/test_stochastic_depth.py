import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.modules.stochastic_depth import StochasticDepth

BRANCH = jax.device_put(np.random.default_rng(0).standard_normal((4096, 2, 1, 1, 3)).astype(np.float32))


def drop(branch, rate, *, train=True, seed=0):
    return StochasticDepth().apply({}, branch, rate, train=train, rngs={"dropout": jax.random.key(seed)})


@pytest.mark.parametrize("rate", [0.25, jnp.float32(0.25)], ids=["number", "scalar"])
def test_a_branch_is_dropped_whole_or_scaled_to_keep_the_mean(rate):
    output = np.asarray(jax.jit(drop)(BRANCH, rate) if isinstance(rate, jax.Array) else drop(BRANCH, rate))
    kept = np.abs(output).max(axis=(1, 2, 3, 4)) > 0
    np.testing.assert_allclose(output[kept], BRANCH[kept] / 0.75, rtol=1e-6)
    # The share kept of 4096 draws has a standard deviation of 0.007.
    assert kept.mean() == pytest.approx(0.75, abs=0.03)


def test_a_rate_of_zero_keeps_everything():
    np.testing.assert_array_equal(drop(BRANCH, 0.0), BRANCH)
    np.testing.assert_array_equal(jax.jit(drop)(BRANCH, jnp.float32(0)), BRANCH)


def test_a_rate_of_zero_and_evaluation_need_no_key():
    np.testing.assert_array_equal(StochasticDepth().apply({}, BRANCH, 0.0, train=True), BRANCH)
    np.testing.assert_array_equal(StochasticDepth().apply({}, BRANCH, 0.5, train=False), BRANCH)


def test_what_is_dropped_gets_no_gradient_whatever_it_holds():
    branch = np.full((64, 1, 1, 1, 1), np.inf, np.float32)
    gradient = np.asarray(jax.jit(jax.grad(lambda branch: jnp.sum(drop(branch, 0.5))))(branch)).ravel()
    assert set(gradient) == {0.0, 2.0}


def test_bfloat16_stays_bfloat16():
    assert drop(BRANCH.astype(jnp.bfloat16), jnp.float32(0.1)).dtype == jnp.bfloat16
