"""Export for LiteRT, the runtime on phones and boards that was TensorFlow Lite.

The file uses only LiteRT's built-in operators, which every build of the runtime has. Its depthwise convolutions are
two-dimensional and its arrays have few axes: `motion_vit.ops` makes the operators so. All sizes must be known at
conversion, the batch too.

The small forms of the weights are LiteRT's own. "float16" rounds all constants, also those computed from running
statistics. "int8-weights" quantises the large kernels to 8 bits, and activations on the fly ("dynamic range"). There is
no bfloat16.
"""

import pathlib
import re
import tempfile
from typing import Any

import jax

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import write_bytes
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

LITERT_FILE = "model.tflite"
SIGNATURE = "serving_default"

_MISSING_OPERATOR = re.compile(r"failed to legalize operation '([\w.]+)'")
_REASON = re.compile(r"error: (.*)")


def export_litert(
    trained: TrainedModel, folder: pathlib.Path, *, batch: int | None, dtype: WeightDtype, interface: Interface = PLAIN
) -> dict[str, Any]:
    """Writes `model.tflite`.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      batch: clips per call.
      dtype: stored form of the weights.
      interface: what the program takes and gives.

    Returns:
      The entry `export` of `config.json`.

    Raises:
      UserError: TensorFlow is not installed; the batch is symbolic, or LiteRT does not support `dtype`; the weights are
        not finite; or the model has an operator that LiteRT lacks.
    """
    if batch is None:
        raise UserError("LiteRT needs the number of clips when the model is converted: give --batch 1.")
    if dtype == "bfloat16":
        raise UserError("LiteRT has no bfloat16 weights. Give --dtype float16 or int8-weights.")
    tensorflow = import_tensorflow("tflite")
    # Finite, and within float16, is what LiteRT does not check.
    compress(trained.variables, dtype)
    stored = compress(trained.variables, "float32")
    infer = inference_function(trained, interface, in_float32=True)
    with target_platform("litert"):
        converted = tensorflow_function(
            lambda clips: infer(stored, clips), abstract_clips(trained.model, batch, interface)
        )
    shape = clips_shape(trained.model, batch)

    def classify(clips: Any) -> dict[str, Any]:
        return dict(zip(output_names(trained, interface), converted(clips), strict=True))

    module = tensorflow.Module()
    module.classify = tensorflow.function(
        classify, autograph=False, input_signature=[tensorflow.TensorSpec(shape, interface.input, name=INPUT_NAME)]
    )
    with tempfile.TemporaryDirectory() as saved:
        tensorflow.saved_model.save(module, saved, signatures={SIGNATURE: module.classify})
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[SIGNATURE])
        if dtype != "float32":
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        if dtype == "float16":
            converter.target_spec.supported_types = [tensorflow.float16]
        data = _convert(converter)
    path = folder / LITERT_FILE
    write_bytes(path, data)
    return {
        **graph_entry(trained, "tflite", path, batch, dtype, interface),
        "signature": SIGNATURE,
        "tensorflow_version": tensorflow.__version__,
        "jax_version": jax.__version__,
    }


def _convert(converter: Any) -> bytes:
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        data: bytes = converter.convert()
    except ConverterError as error:
        operators = sorted(set(_MISSING_OPERATOR.findall(str(error))))
        reasons = _REASON.findall(str(error)) or [str(error)[:500]]
        what = f"has no {', '.join(operators)}" if operators else f"does not take it: {reasons[0]}"
        raise UserError(
            f"the model cannot be converted, because LiteRT {what}. Take --format onnx, savedmodel or stablehlo."
        ) from error
    return data
