"""The description of a model for processes of a benchmark that do not hold it; imports no framework."""

import dataclasses
from collections.abc import Mapping

from torch_options import TwinOptions


@dataclasses.dataclass(frozen=True)
class StageDescription:
    """A stage of a model.

    Attributes:
      input: shape of its input, with the batch.
      output: shape of its output.
      multiply_adds: of its forward pass on one clip.
    """

    input: tuple[int, ...]
    output: tuple[int, ...]
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """A model, by shapes and costs.

    Attributes:
      twin: options for PyTorch to build the same network.
      clip_shape: frames, height, width and channels.
      multiply_adds: of a forward pass on one clip.
      stages: by name, in the order of the forward pass.
    """

    twin: TwinOptions
    clip_shape: tuple[int, int, int, int]
    multiply_adds: int
    stages: Mapping[str, StageDescription]
