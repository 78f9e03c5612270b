"""Ranges of options that several models have; the limits are far above those of any real network."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from motion_vit.modules.computation_dtype import COMPUTATION_DTYPES, computation_dtype
from motion_vit.modules.motion_module import is_motion_module, motion_module_names
from motion_vit.ranges import NONE, Choice, Either, Items, Number, Range, Whole

WIDTH = Whole(1, 16384)
"""Channels."""

DEPTH = Whole(1, 100)
"""Blocks of a network. Tracing one block takes some 50 ms."""

STAGE_DEPTH = Whole(1, 50)
"""Blocks of a stage, of four."""

MLP_RATIO = Number(0, 64, above=True)
"""Hidden features of a perceptron over its channels."""

NORM_EPSILON = Number(0, 1, above=True)
"""What a LayerNorm adds to the variance."""

WINDOW = Whole(1, 255, odd="it is centred on the query")
"""Side of the neighbourhood of cost-volume attention, in tokens."""

BATCH_NORM_GROUPS = Whole(1, 65536)
"""Parts of a batch that are normalised each by itself."""

PIXEL_MEAN = Items(Number(-1000, 1000), 3, 3, purpose="of red, green and blue")
"""What is subtracted from pixels in [0, 1]."""

PIXEL_STD = Items(Number(1e-6, 1000), 3, 3, purpose="of red, green and blue")
"""What pixels are divided by after that."""


def one_a_stage(size: Range) -> Items:
    """Makes the range of an option that holds a size for each of four stages.

    Args:
      size: range of each of the four.
    """
    return Items(size, 4, 4, purpose="one a stage")


def implementation(names: Sequence[str]) -> Either:
    """Makes the range of an option that chooses the implementation of an operator, or None to have one chosen.

    Args:
      names: the names that the operator accepts.
    """
    return Either(NONE, Choice(tuple(names)))


@dataclasses.dataclass(frozen=True)
class ComputationDtype:
    """The dtypes that models compute in, and their names."""

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        return f"one of {', '.join(COMPUTATION_DTYPES)}"

    def holds(self, value: Any) -> bool:
        """Tells if a value is one of them."""
        try:
            computation_dtype(value)
        except ValueError:
            return False
        return True


@dataclasses.dataclass(frozen=True)
class MotionModuleName:
    """The names of motion modules, also of those that are registered later."""

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        return f"one of {', '.join(motion_module_names())}"

    def holds(self, value: Any) -> bool:
        """Tells if a value is one of them."""
        return isinstance(value, str) and is_motion_module(value)
