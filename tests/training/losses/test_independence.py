"""The criterion of independence: the numbers of the authors' code, and what dependence and its absence give."""

import goldens
import jax
import numpy as np
import pytest

from motion_vit.training.losses.independence import HsicEstimator, hsic

GOLDEN = goldens.load("dear/debias")
ALL = np.ones(6, np.float32)
ESTIMATORS: tuple[HsicEstimator, ...] = ("biased", "unbiased")
estimate = jax.jit(hsic, static_argnums=3)
estimate_with_gradients = jax.jit(jax.value_and_grad(hsic, argnums=(0, 1)), static_argnums=3)
estimates = jax.jit(jax.vmap(hsic, (0, 0, None, None)), static_argnums=3)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimates_and_gradients_are_those_of_the_authors_code(estimator: HsicEstimator) -> None:
    found, gradients = estimate_with_gradients(GOLDEN["hsic/x"], GOLDEN["hsic/y"], ALL, estimator)
    # In float64 the unbiased estimate differs from theirs, a small difference of sums in float32, by 1.0e-5 of it.
    np.testing.assert_allclose(found, GOLDEN[f"hsic/{estimator}/value"], rtol=2e-5)
    for name, gradient in zip("xy", gradients, strict=True):
        goldens.assert_gradient_matches(GOLDEN, f"hsic/{estimator}/grad_{name}", gradient)


def test_undivided_as_the_authors_code_takes_turns_it_is_the_unbiased_estimate_times_pairs() -> None:
    found, _ = estimate_with_gradients(GOLDEN["hsic/x"], GOLDEN["hsic/y"], ALL, "unbiased")
    np.testing.assert_allclose(6 * 3 * float(found), GOLDEN["hsic/unbiased_alternative/value"], rtol=2e-5)


def test_the_unbiased_estimate_of_independent_features_is_zero_on_average_and_that_of_dependent_ones_is_not() -> None:
    batches, clips = 400, 8
    x, other = drawn(0, batches, clips, 2), drawn(1, batches, clips, 3)
    same = np.concatenate([x, x[..., :1] ** 2], axis=-1)  # a function of the first, not linear
    for estimator in ESTIMATORS:
        apart, together = (np.asarray(estimates(x, y, np.ones(clips, np.float32), estimator)) for y in (other, same))
        noise = apart.std() / np.sqrt(batches)
        assert together.mean() > apart.mean() + 20 * noise
        assert (abs(apart.mean()) < 3 * noise) == (estimator == "unbiased")


def test_both_agree_with_centred_kernels_in_float64_also_where_features_are_nearly_the_same() -> None:
    x = np.asarray(drawn(2, 12, 5), np.float64)
    kernels = []
    for values in (1e-3 * x, 1e-3 * np.tanh(x[:, :3])):
        values = np.asarray(values, np.float32).astype(np.float64)
        distances = np.square(values[:, None] - values[None]).sum(-1)
        kernels.append(np.exp(-distances / (2 * values.shape[1])))
    centre = np.eye(12) - 1 / 12
    biased = np.trace(kernels[0] @ centre @ kernels[1] @ centre) / 11**2
    inputs = np.float32(1e-3 * x), np.float32(1e-3 * np.tanh(x[:, :3])), np.ones(12, np.float32)
    np.testing.assert_allclose(estimate(*inputs, "biased"), biased, rtol=1e-4)
    # The unbiased estimate is the mean over quadruples, of which these are all (Song et al. 2012, theorem 2).
    np.testing.assert_allclose(estimate(*inputs, "unbiased"), over_quadruples(*kernels), rtol=1e-4)


def over_quadruples(one: np.ndarray, other: np.ndarray) -> float:
    """The mean of `K_ij (L_ij + L_qr - 2 L_iq)` over all four different examples `i, j, q, r`."""
    number = np.arange(len(one))
    i, j, q, r = (axis.ravel() for axis in np.meshgrid(number, number, number, number, indexing="ij"))
    different = (i != j) & (i != q) & (i != r) & (j != q) & (j != r) & (q != r)
    i, j, q, r = (axis[different] for axis in (i, j, q, r))
    return float(np.mean(one[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_examples_of_weight_zero_weigh_nothing_whatever_they_are(estimator: HsicEstimator) -> None:
    x, y = drawn(3, 6, 4), drawn(4, 6, 4)
    weights = np.array([1, 0, 1, 1, 1, 1], np.float32)
    kept = [0, 2, 3, 4, 5]
    expected = estimate(x[kept], y[kept], np.ones(5, np.float32), estimator)
    for value in (0.0, 50.0):
        x[1] = value
        found, (gradient, _) = jax.device_get(estimate_with_gradients(x, y, weights, estimator))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert not gradient[1].any()
        assert gradient[0].any()


@pytest.mark.parametrize(("estimator", "enough"), [("unbiased", 4), ("biased", 2)])
def test_too_few_examples_that_count_say_nothing_and_move_nothing(estimator: HsicEstimator, enough: int) -> None:
    x = drawn(5, 6, 4)
    for count in range(enough + 1):
        weights = (np.arange(6) < count).astype(np.float32)
        found, (gradient, _) = estimate_with_gradients(x, x, weights, estimator)
        assert bool(found) == (count >= enough)
        assert np.isfinite(gradient).all()
