"""`preprocessing.json`: how videos become the inputs of an export, and its outputs probabilities.

Everything but `input` and `output` is of `motion_vit.training.inference.preprocessing`; docs/interop.md describes it.
"""

from typing import Any

from motion_vit.interop.exporting.inference_function import INPUT_NAME, OUTPUT_NAME, clips_shape
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.preprocessing import preprocessing_of

PREPROCESSING_FILE = "preprocessing.json"


def describe_preprocessing(trained: TrainedModel, batch: int | None) -> dict[str, Any]:
    """Describes what a program that runs an export does before and after the model.

    Args:
      trained: a model of this library.
      batch: clips per call, None for any number.

    Returns:
      A nested mapping for JSON.
    """
    return {
        **preprocessing_of(trained.config, trained.label_names),
        "input": {
            "name": INPUT_NAME,
            "axes": "batch, frames, height, width, channel",
            "shape": clips_shape(trained.model, batch),
            "dtype": "float32",
            "normalised": True,
        },
        "output": {
            "name": OUTPUT_NAME,
            "axes": "batch, class",
            "shape": (batch, trained.model.num_classes),
            "dtype": "float32",
        },
    }
