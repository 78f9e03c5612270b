import functools
import itertools
import math

import jax
import numpy as np
import pytest
from jaxtyping import Float

from motion_vit.ops.window_geometry import displacement_of_key
from motion_vit.training.losses import random_walk

KEY = jax.random.key(0)

# Compiled whole: operation by operation, every shape would compile dozens of small programs.
random_walk_loss = jax.jit(random_walk.random_walk_loss, static_argnames=("frame_offset", "edge_dropout"))


@functools.partial(jax.jit, static_argnums=1)
def transitions(volume: jax.Array, dropouts: tuple[float, ...]) -> list[tuple[jax.Array, jax.Array]]:
    """The probabilities of steps there and back, with each dropout of edges."""
    return [random_walk.transitions(volume, KEY, dropout) for dropout in dropouts]


def random_volume(pairs: int, height: int, width: int, heads: int, window: int) -> Float[np.ndarray, "1 n h w heads p"]:
    return 2 * np.random.default_rng(3).standard_normal((1, pairs, height, width, heads, window**2), np.float32)


def certain_volume(height: int, width: int, window: int, goes_to: np.ndarray, pairs: int = 3) -> np.ndarray:
    """A volume of one head in which each patch, by its number, certainly goes to another one."""
    displacement, reached = displacement_of_key(height, width, window)
    patches = np.arange(height * width)
    assert reached[patches, goes_to].all()
    volume = np.zeros((height * width, window**2), np.float32)
    volume[patches, displacement[patches, goes_to]] = 40.0
    return np.tile(volume.reshape(1, 1, height, width, 1, -1), (1, pairs, 1, 1, 1, 1))


def step_probability(volume: np.ndarray, pair: int, start: int, end: int, *, back: bool) -> float:
    """The probability of a step of one head's mean, from the definition: a softmax over what is in reach."""
    _, _, height, width, heads, places = volume.shape
    radius = math.isqrt(places) // 2

    def affinity(first: int, second: int, head: int) -> float:
        (y, x), (v, u) = divmod(first, width), divmod(second, width)
        down, right = v - y + radius, u - x + radius
        if not (0 <= down <= 2 * radius and 0 <= right <= 2 * radius):
            return -math.inf
        return float(volume[0, pair, y, x, head, down * (2 * radius + 1) + right])

    shares = []
    for head in range(heads):
        others = range(height * width)
        each = [math.exp(affinity(other, start, head) if back else affinity(start, other, head)) for other in others]
        shares.append(each[end] / sum(each))
    return sum(shares) / heads


def test_it_is_the_mean_cross_entropy_of_all_paths_there_and_back() -> None:
    volume = random_volume(pairs=2, height=2, width=3, heads=2, window=3)
    patches = range(6)
    losses = []
    for start in patches:
        once = sum(
            step_probability(volume, 0, start, a, back=False) * step_probability(volume, 0, a, start, back=True)
            for a in patches
        )
        twice = sum(
            step_probability(volume, 0, start, a, back=False)
            * step_probability(volume, 1, a, b, back=False)
            * step_probability(volume, 1, b, c, back=True)
            * step_probability(volume, 0, c, start, back=True)
            for a, b, c in itertools.product(patches, repeat=3)
        )
        losses += [-math.log(once), -math.log(twice)]
    np.testing.assert_allclose(random_walk_loss(volume, KEY, edge_dropout=0.0), [np.mean(losses)], rtol=1e-5)


@pytest.mark.parametrize("goes_to", [[0, 1, 2, 3], [1, 2, 3, 0], [3, 2, 1, 0]], ids=["stays", "turns", "mirrors"])
def test_certain_steps_that_meet_nobody_return(goes_to: list[int]) -> None:
    volume = certain_volume(1, 4, 7, np.asarray(goes_to))
    np.testing.assert_allclose(random_walk_loss(volume, KEY, edge_dropout=0.0), [0.0], atol=1e-5)


def test_patches_that_meet_share_the_way_back() -> None:
    """Two patches that go to one place return each with probability one half, the others for certain."""
    volume = certain_volume(1, 4, 7, np.asarray([0, 0, 2, 3]), pairs=1)
    expected = 2 * math.log(2) / 4
    np.testing.assert_allclose(random_walk_loss(volume, KEY, edge_dropout=0.0), [expected], rtol=1e-5)


def test_who_knows_nothing_returns_by_chance() -> None:
    volume = np.zeros((2, 3, 2, 2, 1, 9), np.float32)
    np.testing.assert_allclose(random_walk_loss(volume, KEY, edge_dropout=0.0), [math.log(4)] * 2, rtol=1e-5)


def test_frames_that_are_further_apart_are_walked_in_chains_of_their_own() -> None:
    """Frames 0, 2, 4 and frames 1, 3: the pairs of one chain do not matter to the other."""
    volume = random_volume(pairs=3, height=2, width=2, heads=1, window=3)

    @jax.jit
    def losses(volume: jax.Array) -> tuple[jax.Array, ...]:
        chains = (volume, 2), (volume[:, 0::2], 1), (volume[:, 1::2], 1)
        return tuple(
            random_walk.random_walk_loss(each, KEY, frame_offset=offset, edge_dropout=0.0) for each, offset in chains
        )

    both, even, odd = map(np.asarray, losses(volume))
    np.testing.assert_allclose(both, (2 * even + odd) / 3, rtol=1e-5)  # two walks and one


def test_dropped_edges_leave_probabilities() -> None:
    volume = random_volume(pairs=2, height=4, width=4, heads=2, window=3)
    _, reached = displacement_of_key(4, 4, 3)
    (whole, _), *thinned = transitions(volume, (0.0, 0.1, 0.5, 0.999))
    for thin in thinned:
        for steps in thin:
            np.testing.assert_allclose(np.asarray(steps).sum(axis=-1), 1.0, rtol=1e-5)
            assert not np.asarray(steps)[..., ~reached].any()
    kept = np.asarray(thinned[1][0])[..., reached] > 0  # of a half
    assert (np.asarray(whole)[..., reached] > 0).all()
    assert 0.4 < kept.mean() < 0.65


def test_its_gradient_is_finite_where_no_walk_returns() -> None:
    """Everybody goes to one corner, from where a way back is as good as impossible."""
    volume = certain_volume(1, 4, 7, np.asarray([0, 0, 0, 0]))
    volume[:, :, 0, 0] += 1e4
    loss, gradient = jax.jit(jax.value_and_grad(lambda volume: random_walk_loss(volume, KEY).sum()))(volume)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
