import jax.numpy as jnp
import numpy as np
import pytest

from motion_vit.ops.adaptive_average_pool import adaptive_average_pool


def test_neighbours_share_what_does_not_divide() -> None:
    x = np.random.default_rng(0).standard_normal((2, 14, 9, 3)).astype(np.float32)
    pooled = adaptive_average_pool(jnp.asarray(x), 4, 2)
    rows, columns = [(0, 4), (3, 7), (7, 11), (10, 14)], [(0, 5), (4, 9)]  # as PyTorch's adaptive_avg_pool2d
    expected = [[x[:, a:b, c:d].mean(axis=(1, 2)) for c, d in columns] for a, b in rows]
    np.testing.assert_allclose(pooled, np.moveaxis(expected, 2, 0), rtol=1e-5, atol=1e-6)


def test_a_grid_of_the_size_is_left_as_it_is() -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4, 2)), jnp.bfloat16)
    np.testing.assert_array_equal(adaptive_average_pool(x, 3, 4), x)


def test_a_larger_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="3 x 4 cells cannot be averaged to 4 x 4"):
        adaptive_average_pool(jnp.zeros((3, 4, 2)), 4, 4)
