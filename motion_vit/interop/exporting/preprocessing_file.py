"""`preprocessing.json`: how videos become the inputs of an export, and its outputs probabilities.

Everything but `input` and `output` is of `motion_vit.training.inference.preprocessing`; docs/interop.md describes it.
"""

from typing import Any

from motion_vit.interop.exporting.inference_function import clips_shape, output_names
from motion_vit.interop.exporting.interface import INPUT_NAME, PLAIN, UNCERTAINTY, Interface
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.preprocessing import preprocessing_of

PREPROCESSING_FILE = "preprocessing.json"

# A logarithm is a logit but for a number that is the same for all classes of a view, which the softmax does not see.
_OF_PROBABILITIES = "softmax(mean of the logarithms of the probabilities of all views)"


def describe_preprocessing(trained: TrainedModel, batch: int | None, interface: Interface = PLAIN) -> dict[str, Any]:
    """Describes what a program that runs an export does before and after the model.

    Args:
      trained: a model of this library.
      batch: clips per call, None for any number.
      interface: what the program takes and gives.

    Returns:
      A nested mapping for JSON.
    """
    described = preprocessing_of(trained.config, trained.label_names)
    if interface.output == "probabilities":
        described["probabilities"] = {"average": "logarithms of probabilities", "formula": _OF_PROBABILITIES}
    return {
        **described,
        "input": {
            "name": INPUT_NAME,
            "axes": "batch, frames, height, width, channel",
            "shape": clips_shape(trained.model, batch),
            "dtype": interface.input,
            "normalised": interface.input != "uint8",
        },
        "output": {
            "name": interface.output,
            "axes": "batch, class",
            "shape": (batch, trained.model.num_classes),
            "dtype": "float32",
        },
        **(
            {"uncertainty_output": {"name": UNCERTAINTY, "axes": "batch", "shape": (batch,), "dtype": "float32"}}
            if UNCERTAINTY in output_names(trained, interface)
            else {}
        ),
    }
