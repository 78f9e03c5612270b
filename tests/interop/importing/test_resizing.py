"""Embeddings of other places and times become what PyTorch's nearest interpolation makes of them."""

import numpy as np
import pytest

from motion_vit.interop.importing.resizing import resize, resizes

torch = pytest.importorskip("torch")

POSITIONS = "params/embedding/position_embedding"
TIMES = "params/embedding/time_embedding"


def draw(*shape):
    return np.random.default_rng(5).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(("frames", "wanted"), [(8, 16), (8, 3), (7, 12), (96, 8)])
def test_times_take_the_nearest_frame(frames, wanted):
    embedding = draw(1, frames, 5)
    expected = torch.nn.functional.interpolate(torch.from_numpy(embedding).transpose(1, 2), size=wanted, mode="nearest")
    np.testing.assert_array_equal(resize(TIMES, embedding, (1, wanted, 5)), expected.transpose(1, 2).numpy())


@pytest.mark.fast_cases("4-6", "5-3")
@pytest.mark.parametrize(("side", "wanted"), [(4, 6), (14, 7), (5, 3)])
def test_positions_take_the_nearest_patch_and_keep_the_class_token(side, wanted):
    embedding = draw(1, 1 + side**2, 3)
    grid = torch.from_numpy(embedding[:, 1:]).reshape(1, side, side, 3).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(grid, size=(wanted, wanted), mode="nearest").permute(0, 2, 3, 1)
    found = resize(POSITIONS, embedding, (1, 1 + wanted**2, 3))
    np.testing.assert_array_equal(found[:, 1:], resized.reshape(1, wanted**2, 3).numpy())
    np.testing.assert_array_equal(found[:, 0], embedding[:, 0])


@pytest.mark.parametrize(
    ("path", "given", "expected", "answer"),
    [
        (TIMES, (1, 8, 96), (1, 16, 96), True),
        (TIMES, (8, 96), (16, 96), True),
        (TIMES, (1, 8, 96), (1, 8, 96), False),
        (TIMES, (1, 8, 96), (1, 16, 95), False),
        (POSITIONS, (1, 17, 96), (1, 50, 96), True),
        (POSITIONS, (1, 18, 96), (1, 50, 96), False),
        (POSITIONS, (1, 0, 96), (1, 50, 96), False),
        ("params/head/kernel", (1, 8, 96), (1, 16, 96), False),
    ],
)
def test_only_embeddings_of_the_same_channels_can_be_resized(path, given, expected, answer):
    assert resizes(path, given, expected) is answer
