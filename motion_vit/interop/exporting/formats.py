"""Capabilities of the export formats, known without importing their writers."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from motion_vit.ranges import Whole
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype

BATCH = Whole(1, 65536)
"""Clips of a batch that an exported program takes, where it does not take any."""

WEIGHT_DTYPES: tuple[WeightDtype, ...] = get_args(WeightDtype)
"""The forms of weights, by name."""

_FLOATS: tuple[WeightDtype, ...] = ("float32", "bfloat16", "float16")
_WITHOUT_BFLOAT16: tuple[WeightDtype, ...] = ("float32", "float16", "int8-weights")


class Format(NamedTuple):
    """Capabilities of an export format.

    Attributes:
      summary: a short description.
      runner: the script of `motion_vit/interop/runners` that runs it.
      dtypes: supported forms of weights.
      batches: "any" where the file holds weights and no program, "symbolic" where a program takes any number of clips
        per call, "fixed" where it takes one number.
      packages: packages that write and run it.
      in_float32: whether it computes in float32 whatever the model's own dtype.
      runtime: what pip installs to run it.
    """

    summary: str
    runner: str
    dtypes: tuple[WeightDtype, ...] = WEIGHT_DTYPES
    batches: Literal["any", "symbolic", "fixed"] = "symbolic"
    packages: tuple[str, ...] = ()
    in_float32: bool = False
    runtime: str = "motion_vit"


FORMATS: Mapping[str, Format] = {
    "safetensors": Format("the durable form, for this library", "run_weights", batches="any"),
    "huggingface": Format("the same with the Hub's metadata", "run_weights", batches="any"),
    "torch": Format(
        "PyTorch .pth, official names",
        "run_torch",
        _FLOATS,
        batches="any",
        packages=("torch",),
        runtime="motion_vit[torch]",
    ),
    "stablehlo": Format("jax.export, for cpu, cuda and tpu", "run_stablehlo", runtime="jax"),
    "onnx": Format("ONNX", "run_onnx", packages=("onnx", "onnxruntime"), in_float32=True, runtime="onnxruntime"),
    "savedmodel": Format("TensorFlow SavedModel", "run_saved_model", packages=("tensorflow",), runtime="tensorflow"),
    "tflite": Format(
        "LiteRT (TensorFlow Lite)",
        "run_litert",
        _WITHOUT_BFLOAT16,
        "fixed",
        ("tensorflow", "ai_edge_litert"),
        in_float32=True,
        runtime="ai-edge-litert",
    ),
}
"""The formats by name."""
