"""The interface of an exported program: normalised clips or pixels in, logits or probabilities out.

Behind the logits of a model that was trained with evidence comes a second output, the uncertainty.
"""

import dataclasses
from typing import Literal, get_args

Input = Literal["float32", "uint8"]
Output = Literal["logits", "probabilities"]

INPUTS: tuple[Input, ...] = get_args(Input)
"""The inputs by name."""

OUTPUTS: tuple[Output, ...] = get_args(Output)
"""The outputs by name."""

INPUT_NAME = "clips"

UNCERTAINTY = "uncertainty"
"""The name of the second output of models that were trained with evidence, one number a clip."""


@dataclasses.dataclass(frozen=True)
class Interface:
    """The input and the output of an exported program.

    Attributes:
      input: dtype of the clips: "float32" for normalised ones, "uint8" for RGB from 0 to 255, which the program
        normalises.
      output: "logits", or "probabilities" for their softmax; also the name of the output.
    """

    input: Input = "float32"
    output: Output = "logits"


PLAIN = Interface()
"""Normalised clips to logits, as the model itself."""
