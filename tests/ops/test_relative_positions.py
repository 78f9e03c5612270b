"""Relative positions against their definition, and resized tables against PyTorch's interpolation."""

import jax
import numpy as np
import pytest
import torch

from motion_vit.ops.relative_positions import distance_embeddings

# Queries and keys on the same places, keys on every second or third, queries on every second, and neither a multiple.
CASES = {
    (3, 3): [[2, 1, 0], [3, 2, 1], [4, 3, 2]],
    (4, 2): [[2, 0], [3, 1], [4, 2], [5, 3]],
    (6, 2): [[3, 0], [4, 1], [5, 2], [6, 3], [7, 4], [8, 5]],
    (2, 4): [[3, 2, 1, 0], [5, 4, 3, 2]],
    (1, 2): [[1, 0]],
    (3, 2): [[1, 0], [2, 1], [3, 2]],
}


@pytest.mark.parametrize(("queries", "keys"), CASES, ids=str)
def test_distances_are_counted_on_the_finer_grid_and_cut_off(queries, keys):
    rows = 2 * max(queries, keys) - 1
    table = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    found = np.asarray(jax.jit(distance_embeddings, static_argnums=(1, 2))(table, queries, keys))
    assert found.shape == (queries, keys, 2)
    assert found[..., 0].tolist() == [[2 * row for row in of_query] for of_query in CASES[queries, keys]]


@pytest.mark.parametrize(("rows", "size"), [(15, 7), (5, 13), (1, 3), (27, 25)])
def test_a_table_of_another_length_is_resized_as_pytorch_does(rows, size):
    table = np.random.default_rng(0).standard_normal((rows, 3)).astype(np.float32)
    resized = torch.nn.functional.interpolate(torch.from_numpy(table.T[None].copy()), size=size, mode="linear")
    places = (size + 1) // 2
    found = np.asarray(jax.jit(distance_embeddings, static_argnums=(1, 2))(table, places, places))
    by_distance = {places - 1 + query - key: found[query, key] for query in range(places) for key in range(places)}
    # PyTorch computes the places between rows in float32: of 27 rows they are off by up to 2e-6.
    np.testing.assert_allclose([by_distance[row] for row in range(size)], resized[0].T, rtol=1e-5, atol=5e-6)
