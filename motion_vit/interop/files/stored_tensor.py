"""Weights in a file: shape and dtype are known, values are read on request."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """A weight of a file that has not been read yet.

    An importer compares shapes first and then reads what the model takes, so that memory is bounded by the model and
    not by what a file claims to hold.

    Attributes:
      shape: its shape, as the file says.
      dtype: its dtype, as the file says; bfloat16 is that of `ml_dtypes`.
      read: reads it. Raises whatever a damaged file leads to; `UserError` for known kinds of damage.
    """

    shape: Shape
    dtype: np.dtype
    read: Callable[[], np.ndarray]


def join_tensors(parts: Sequence[StoredTensor]) -> StoredTensor:
    """Joins weights along their first axis, without reading them.

    Args:
      parts: of one dtype, and of shapes that differ in the first axis alone.
    """
    rows = sum(part.shape[0] for part in parts)

    def read() -> np.ndarray:
        return np.concatenate([part.read() for part in parts])

    return StoredTensor((rows, *parts[0].shape[1:]), parts[0].dtype, read)


class DamagedFileError(Exception):
    """Error of a file that contradicts itself or ends early. The message is one clause, without the path."""


class MoreThanWeightsError(Exception):
    """Error of a pickle that refers to an object that no state dict needs. The message is that object's name."""
