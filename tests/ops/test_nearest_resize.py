"""Embeddings at other sizes, against PyTorch's `F.interpolate(mode="nearest")`."""

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from motion_vit.ops.nearest_resize import nearest_indices, resize_position_embedding, resize_time_embedding


def test_every_entry_copies_the_one_that_pytorch_takes():
    for size in range(1, 33):
        entries = torch.arange(size, dtype=torch.float32).reshape(1, 1, size)
        for new_size in range(1, 97):
            expected = F.interpolate(entries, size=new_size, mode="nearest").flatten().tolist()
            assert nearest_indices(size, new_size) == expected, (size, new_size)


@pytest.mark.parametrize("frames", [1, 3, 8, 20])
def test_times_are_resized_as_in_pytorch(frames):
    embedding = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)
    expected = F.interpolate(torch.tensor(embedding.T[None]), size=frames, mode="nearest")[0].numpy().T
    np.testing.assert_array_equal(jax.jit(resize_time_embedding, static_argnums=1)(embedding, frames), expected)


@pytest.mark.parametrize("grid", [(3, 7), (8, 2), (4, 4), (11, 13)])
def test_positions_are_resized_in_rows_and_columns_as_in_pytorch(grid):
    embedding = np.random.default_rng(0).standard_normal((1 + 16, 5)).astype(np.float32)
    patches = torch.tensor(embedding[1:]).reshape(1, 4, 4, 5).permute(0, 3, 1, 2)
    expected = F.interpolate(patches, size=grid, mode="nearest").permute(0, 2, 3, 1).reshape(-1, 5).numpy()
    resized = jax.jit(resize_position_embedding, static_argnums=(1, 2))(embedding, *grid)
    np.testing.assert_array_equal(resized, np.concatenate([embedding[:1], expected]))


def test_a_resized_embedding_learns_as_often_as_it_is_used():
    gradient = jax.jit(jax.grad(lambda embedding: resize_time_embedding(embedding, 5).sum()))(
        np.ones((2, 1), np.float32)
    )
    np.testing.assert_array_equal(gradient, [[3], [2]])


@pytest.mark.parametrize("entries", [1, 4, 16])
def test_positions_that_are_no_square_are_refused(entries):
    with pytest.raises(ValueError, match="a class token and a square of patches"):
        resize_position_embedding(jax.device_put(np.zeros((entries, 3), np.float32)), 2, 2)
