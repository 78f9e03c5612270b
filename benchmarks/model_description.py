"""What a model is to the processes of a benchmark that do not hold it; imports no framework."""

import dataclasses
from collections.abc import Mapping

from torch_options import TwinOptions


@dataclasses.dataclass(frozen=True)
class StageDescription:
    """A stage of a model.

    Attributes:
      input: shape of what it meets, with the batch.
      output: shape of what it gives.
      multiply_adds: of its forward pass on one clip.
    """

    input: tuple[int, ...]
    output: tuple[int, ...]
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """A model.

    Attributes:
      twin: its shape, for PyTorch to build the same.
      clip_shape: frames, height, width and channels.
      multiply_adds: of a forward pass on one clip.
      stages: by name, in the order of the forward pass.
    """

    twin: TwinOptions
    clip_shape: tuple[int, int, int, int]
    multiply_adds: int
    stages: Mapping[str, StageDescription]
