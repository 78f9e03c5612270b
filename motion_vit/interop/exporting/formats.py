"""The formats of `motion-vit export` and what each can hold, known without importing what writes them."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from motion_vit.training.checkpoints.weight_dtypes import WeightDtype

WEIGHT_DTYPES: tuple[WeightDtype, ...] = get_args(WeightDtype)
"""The forms of weights, by name."""

_FLOATS: tuple[WeightDtype, ...] = ("float32", "bfloat16", "float16")
_WITHOUT_BFLOAT16: tuple[WeightDtype, ...] = ("float32", "float16", "int8-weights")


class Format(NamedTuple):
    """What a format can.

    Attributes:
      summary: what it is, in some words.
      runner: the script of `motion_vit/interop/runners` that runs it.
      dtypes: the forms of weights that it can hold.
      batches: what calls can take: "any" where the file holds weights and no program, "symbolic" where a program takes
        any number, "fixed" where it takes one.
      packages: the packages to write it and to run it.
      in_float32: whether it computes in float32 whatever the model's own dtype.
    """

    summary: str
    runner: str
    dtypes: tuple[WeightDtype, ...] = WEIGHT_DTYPES
    batches: Literal["any", "symbolic", "fixed"] = "symbolic"
    packages: tuple[str, ...] = ()
    in_float32: bool = False


FORMATS: Mapping[str, Format] = {
    "safetensors": Format("the durable form, for this library", "run_weights", batches="any"),
    "huggingface": Format("the same with a model card", "run_weights", batches="any"),
    "torch": Format("PyTorch .pth, official names", "run_torch", _FLOATS, batches="any", packages=("torch",)),
    "stablehlo": Format("jax.export, for cpu, cuda and tpu", "run_stablehlo"),
    "onnx": Format("ONNX", "run_onnx", packages=("onnx", "onnxruntime"), in_float32=True),
    "savedmodel": Format("TensorFlow SavedModel", "run_saved_model", packages=("tensorflow",)),
    "tflite": Format(
        "LiteRT (TensorFlow Lite)",
        "run_litert",
        _WITHOUT_BFLOAT16,
        "fixed",
        ("tensorflow", "ai_edge_litert"),
        in_float32=True,
    ),
}
"""The formats by name."""
