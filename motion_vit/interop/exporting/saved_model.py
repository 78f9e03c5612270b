"""Export as a TensorFlow SavedModel, for TensorFlow and TensorFlow Serving.

The graph holds StableHLO for CPU, NVIDIA GPU and TPU, and the weights are TensorFlow variables beside it. TensorFlow
reads StableHLO of versions up to its own; the files are for TensorFlow 2.21 and later.
"""

import pathlib
from typing import Any

import jax

from motion_vit.interop.exporting.inference_function import (
    abstract_clips,
    clips_shape,
    graph_entry,
    inference_function,
    output_names,
)
from motion_vit.interop.exporting.interface import INPUT_NAME, PLAIN, Interface
from motion_vit.interop.exporting.tensorflow_program import tensorflow_function
from motion_vit.interop.exporting.tensorflow_runtime import import_tensorflow
from motion_vit.ops.platform import target_platform
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import compress

SAVED_MODEL_FOLDER = "saved_model"
SIGNATURE = "serving_default"


def export_saved_model(
    trained: TrainedModel, folder: pathlib.Path, *, batch: int | None, dtype: WeightDtype, interface: Interface = PLAIN
) -> dict[str, Any]:
    """Writes `saved_model/`, with the signature `serving_default` from `clips` to outputs by their names.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      batch: clips per call; None for any number.
      dtype: stored form of the variables.
      interface: what the program takes and gives.

    Returns:
      The entry `export` of `config.json`.

    Raises:
      UserError: TensorFlow is not installed, or the weights are not finite or do not fit `dtype`.
    """
    tensorflow = import_tensorflow("savedmodel")
    stored = compress(trained.variables, dtype)
    shape = clips_shape(trained.model, batch)
    with target_platform("any"):
        converted = tensorflow_function(
            inference_function(trained, interface),
            jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), stored),
            abstract_clips(trained.model, batch, interface),
            platforms=("cpu", "cuda", "tpu"),
        )
    module = tensorflow.Module()
    # A variable's name cannot hold the colon of a scale's path.
    module.weights = {path.replace(":", "_"): tensorflow.Variable(array) for path, array in stored.items()}
    by_path = {path: module.weights[path.replace(":", "_")] for path in stored}

    def classify(clips: Any) -> dict[str, Any]:
        return dict(zip(output_names(trained, interface), converted(by_path, clips), strict=True))

    module.classify = tensorflow.function(
        classify, autograph=False, input_signature=[tensorflow.TensorSpec(shape, interface.input, name=INPUT_NAME)]
    )
    path = folder / SAVED_MODEL_FOLDER
    tensorflow.saved_model.save(module, str(path), signatures={SIGNATURE: module.classify})
    return {
        **graph_entry(trained, "savedmodel", path, batch, dtype, interface),
        "signature": SIGNATURE,
        "tensorflow_version": tensorflow.__version__,
    }
