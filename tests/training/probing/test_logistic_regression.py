import jax
import numpy as np
import pytest
from scipy import optimize, special

from motion_vit.training.probing.logistic_regression import PENALTIES, fit_logistic_regression


@pytest.fixture(autouse=True)
def _standard_promotion():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def blobs(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Features around a place of each of three classes, on scales that differ by thousands."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    places = rng.standard_normal((3, 4))
    features = places[labels] + noise * rng.standard_normal((count, 4))
    return (features * np.array([1e-3, 1.0, 30.0, 1.0]) + 5).astype(np.float32), labels


def test_the_fit_is_the_minimum_that_another_solver_finds() -> None:
    features, labels = blobs(60, 1.5)
    fitted = fit_logistic_regression(features, labels, classes=3)
    inputs = (features.astype(np.float64) - features.mean(axis=0)) / features.std(axis=0)

    def objective(flat: np.ndarray) -> float:
        kernel, bias = flat[:12].reshape(4, 3), flat[12:]
        likelihood = special.log_softmax(inputs @ kernel + bias, axis=1)[np.arange(60), labels]
        return -likelihood.mean() + fitted.penalty / 2 * np.sum(kernel**2)

    other = optimize.minimize(objective, np.zeros(15), tol=1e-12)
    ours = np.concatenate([fitted.kernel.ravel(), fitted.bias]).astype(np.float64)
    assert objective(ours) - other.fun < 1e-6
    np.testing.assert_allclose(
        special.softmax(fitted.logits(features), axis=1),
        special.softmax(inputs @ other.x[:12].reshape(4, 3) + other.x[12:], axis=1),
        atol=5e-3,
    )


def test_noise_asks_for_a_stronger_penalty_than_a_clear_case() -> None:
    rng = np.random.default_rng(1)
    features, clear = blobs(60, 0.3)
    noise = fit_logistic_regression(rng.standard_normal((60, 4)).astype(np.float32), clear, classes=3)
    chosen = fit_logistic_regression(features, clear, classes=3)
    assert chosen.held_out_accuracy > 0.9 > noise.held_out_accuracy
    assert {chosen.penalty, noise.penalty} <= set(PENALTIES)
    assert chosen.held_out == 12
    assert noise.penalty > chosen.penalty
    assert np.mean(chosen.logits(features).argmax(axis=1) == clear) > 0.95


@pytest.mark.slow
def test_one_clip_of_each_class_leaves_none_to_choose_the_penalty_on() -> None:
    features = np.array([[1.0, 0.0, 7.0], [0.0, 1.0, 7.0]], np.float32)
    fitted = fit_logistic_regression(features, np.array([1, 0]), classes=3)
    assert fitted.held_out == 0
    assert np.isnan(fitted.held_out_accuracy)
    assert fitted.logits(features).argmax(axis=1).tolist() == [1, 0]
