"""A weight that lies in a file: known by shape and dtype, read when it is wanted."""

import dataclasses
from collections.abc import Callable

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
      read: reads it. Raises whatever a damaged file leads to; `UserError` where the damage has a name.
    """

    shape: Shape
    dtype: np.dtype
    read: Callable[[], np.ndarray]


class DamagedFileError(Exception):
    """A file says two things that cannot both be true, or ends early. The message is one clause, without the path."""


class MoreThanWeightsError(Exception):
    """A pickle refers to an object that no state dict needs. The message is that object's name."""
