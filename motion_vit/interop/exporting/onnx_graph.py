"""Export to ONNX, for onnxruntime and other readers.

The graph is made from the model's jaxpr, primitive by primitive (`onnx_operators`). The field's converter, jax2onnx,
cannot be used: it has no pads of an array of symbolic batch (0.13 and 0.17), and its later versions exclude the Orbax
that checkpoints are written with. Weights are initializers under their own paths. The graph widens weights in a small
form, which onnxruntime does once, when it loads the file.
"""

import json
import pathlib
from typing import Any

import jax
import numpy as np

from motion_vit.files.atomic_file import write_bytes
from motion_vit.interop.exporting.inference_function import (
    abstract_clips,
    clips_shape,
    graph_entry,
    inference_function,
    output_names,
)
from motion_vit.interop.exporting.interface import INPUT_NAME, PLAIN, Interface
from motion_vit.interop.exporting.missing_package import missing_package
from motion_vit.ops.platform import target_platform
from motion_vit.training.checkpoints.model_description import description_of
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import compress

ONNX_FILE = "model.onnx"
_SYMBOLIC_BATCH = "batch"
_METADATA = ("label_names", "preprocessing", "model", "weights_dtype", "library_version")


def export_onnx(
    trained: TrainedModel, folder: pathlib.Path, *, batch: int | None, dtype: WeightDtype, interface: Interface = PLAIN
) -> dict[str, Any]:
    """Writes `model.onnx`, with labels and preprocessing as metadata.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      batch: clips per call; None for any number.
      dtype: stored form of the initializers.
      interface: what the program takes and gives.

    Returns:
      The entry `export` of `config.json`.

    Raises:
      UserError: the package onnx is not installed; the weights are not finite, or do not fit `dtype`; or the model
        holds an operation that ONNX lacks.
    """
    try:
        import onnx

        from motion_vit.interop.exporting.onnx_builder import OPSET, OnnxBuilder
    except ImportError as error:
        raise missing_package("onnx", error) from error
    builder = OnnxBuilder(INPUT_NAME)
    stored = compress(trained.variables, dtype)
    _add_model(builder, trained, stored, batch, interface)
    shape = clips_shape(trained.model, batch)
    description = description_of(trained, dtype)
    clips = _SYMBOLIC_BATCH if batch is None else batch
    of_classes: dict[str, list[int | str]] = {interface.output: [clips, trained.model.num_classes]}
    model = builder.model(
        {INPUT_NAME: [_SYMBOLIC_BATCH if size is None else size for size in shape]},
        {name: of_classes.get(name, [clips]) for name in output_names(trained, interface)},
        {name: json.dumps(description[name]) for name in _METADATA},
        input_dtype=interface.input,
    )
    onnx.checker.check_model(model)
    path = folder / ONNX_FILE
    write_bytes(path, model.SerializeToString())
    return {
        **graph_entry(trained, "onnx", path, batch, dtype, interface),
        "opset": OPSET,
        "onnx_version": onnx.__version__,
    }


def _add_model(
    builder: Any, trained: TrainedModel, stored: dict[str, np.ndarray], batch: int | None, interface: Interface
) -> None:
    from motion_vit.interop.exporting.onnx_operators import apply_rules

    shapes = {path: jax.ShapeDtypeStruct(array.shape, array.dtype) for path, array in stored.items()}
    with target_platform("onnx"):
        infer = inference_function(trained, interface, in_float32=True)
        program = jax.make_jaxpr(infer)(shapes, abstract_clips(trained.model, batch, interface))
    # The order in which JAX takes the entries of a mapping.
    weights = [builder.store(path, stored[path]) for path in sorted(stored)]
    constants = [np.asarray(array) for array in program.consts]
    outputs = apply_rules(builder, program.jaxpr, constants, [*weights, INPUT_NAME])
    for output, name in zip(outputs, output_names(trained, interface), strict=True):
        builder.output(output, name)
