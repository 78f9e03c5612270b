"""The loss between features: of directions alone, token by token where grids agree, else over the clip."""

import jax
import numpy as np
import pytest

from motion_vit.training.losses.feature_distillation import feature_loss, on_common_tokens

losses_of = jax.jit(feature_loss)


def features(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_the_same_directions_cost_nothing_and_opposite_ones_two() -> None:
    taught = features(2, 5, 3)
    np.testing.assert_allclose(losses_of(4 * taught, taught), [0, 0], atol=1e-6)
    np.testing.assert_allclose(losses_of(-taught, taught), [2, 2], rtol=1e-6)
    # Half the squared error of features of unit length.
    found = features(2, 5, 3, seed=1)
    one, other = (values / np.linalg.norm(values, axis=-1, keepdims=True) for values in (found, taught))
    expected = np.square(one - other).sum(-1).mean(-1) / 2
    np.testing.assert_allclose(losses_of(found, taught), expected, rtol=1e-5)


def test_features_that_are_zero_have_a_finite_gradient() -> None:
    nothing = np.zeros((1, 2, 3), np.float32)
    gradient = jax.jit(jax.grad(lambda values, taught: feature_loss(values, taught).sum()))(nothing, nothing)
    np.testing.assert_array_equal(gradient, np.zeros((1, 2, 3)))


@pytest.mark.parametrize(
    ("student", "teacher", "tokens"),
    [
        ((2, 4, 3, 3, 8), (2, 4, 3, 3, 6), 36),
        ((2, 4, 3, 3, 8), (2, 2, 3, 3, 6), 1),
        ((2, 4, 3, 3, 8), (2, 36, 6), 1),  # a sequence may begin with a class token
        ((2, 8), (2, 4, 3, 3, 6), 1),
        ((8, 9, 8), (2, 5, 6), 1),  # frames by themselves, of a clip one after the other
    ],
)
def test_features_of_other_grids_are_averaged_over_the_clip(
    student: tuple[int, ...], teacher: tuple[int, ...], tokens: int
) -> None:
    ours, theirs = features(*student), features(*teacher, seed=1)
    one, other = jax.jit(on_common_tokens, static_argnames="clips")(ours, theirs, clips=2)
    assert one.shape == (2, tokens, 8)
    assert other.shape == (2, tokens, 6)
    if tokens == 1:
        np.testing.assert_allclose(np.asarray(one)[1, 0], ours.reshape(2, -1, 8)[1].mean(0), rtol=1e-4, atol=1e-6)
