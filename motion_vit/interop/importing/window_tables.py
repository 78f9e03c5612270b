"""Tables of biases for displacements within windows of images, as tables for windows of clips.

Source: `inflate_weights` of `swin_transformer.py` in SwinTransformer/Video-Swin-Transformer, which resizes with
PyTorch's `F.interpolate(mode="bicubic")` and repeats over time without division.
"""

import math

import numpy as np
from jaxtyping import Float

from motion_vit.interop.files.stored_tensor import Shape

_SHARPNESS = -0.75
"""The coefficient of PyTorch's cubic convolution (Keys, 1981, has -0.5)."""


def is_image_table(given: Shape, expected: Shape) -> bool:
    """Tells if a weight is a table of a square window of images where one for clips is expected.

    Args:
      given: its shape, `[(2 * side - 1) ** 2, heads]` if it is.
      expected: the shape expected, `[displacements, heads]`.
    """
    if len(given) != 2 or len(expected) != 2 or given == expected or given[1] != expected[1]:
        return False
    side = math.isqrt(given[0])
    return side % 2 == 1 and side * side == given[0]


def table_for_clips(
    table: Float[np.ndarray, "given heads"], window: tuple[int, int, int]
) -> Float[np.ndarray, "displacements heads"]:
    """Gives every displacement in time the biases of images, resized where the windows differ.

    Args:
      table: of images; displacements along columns are the faster axis.
      window: frames, rows and columns of the windows of clips.

    Returns:
      The table for clips, whose slowest axis is time.
    """
    side = math.isqrt(table.shape[0])
    rows, columns = (_cubic_weights(side, 2 * new - 1) for new in window[1:])
    grid = table.astype(np.float64).reshape(side, side, table.shape[1])
    resized = np.einsum("yi,xj,ijh->yxh", rows, columns, grid).astype(table.dtype)
    return np.tile(resized.reshape(-1, table.shape[1]), (2 * window[0] - 1, 1))


def _cubic_weights(size: int, new_size: int) -> Float[np.ndarray, "new old"]:
    """Computes the weights of an axis's entries in each of those that it is resized to; ends are repeated."""
    places = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    first = np.floor(places).astype(int)
    weights = np.zeros((new_size, size))
    for step in range(-1, 3):
        distance = np.abs(places - (first + step))
        near = ((_SHARPNESS + 2) * distance - (_SHARPNESS + 3)) * distance**2 + 1
        far = _SHARPNESS * (((distance - 5) * distance + 8) * distance - 4)
        np.add.at(
            weights, (np.arange(new_size), np.clip(first + step, 0, size - 1)), np.where(distance <= 1, near, far)
        )
    return weights
