"""Sorts the operations of a compiled program into a few categories, by what computes them."""

import re
from collections.abc import Mapping

from motion_vit.training.ahead_of_time.compiled_program import CompiledProgram, Instruction

OTHER_OPERATION = "others"

_CALLS = (
    ("__cublas", "matrix products (cuBLAS)"),
    ("__cudnn$fmha", "attention (cuDNN)"),
    ("__cudnn$conv", "convolutions (cuDNN)"),
    ("__cudnn", "other calls of cuDNN"),
    ("tpu_custom_call", "kernels of Pallas"),
    ("mosaic_gpu", "kernels of Pallas"),
)
_FUSIONS: Mapping[str, str] = {
    "kLoop": "elementwise fusions",
    "kInput": "reductions",
    "kOutput": "fusions with a matrix product",
    "kCustom": "fusions by Triton, or on CPU by a library",
}
_OPCODES: Mapping[str, str] = {
    "dot": "matrix products",
    "convolution": "convolutions",
    "copy": "copies and transposes",
    "transpose": "copies and transposes",
    "reduce": "reductions",
    "reduce-window": "reductions",
}


def operation_categories(program: CompiledProgram) -> dict[str, str]:
    """Finds the category of every instruction of a program, by name."""
    return {
        name: _category(instruction)
        for computation in program.computations.values()
        for name, instruction in computation.instructions.items()
    }


def _category(instruction: Instruction) -> str:
    if instruction.opcode == "custom-call":
        target = (instruction.attribute("custom_call_target") or "").strip('"')
        return next((name for start, name in _CALLS if target.startswith(start)), f"calls of {target}")
    if instruction.opcode == "fusion":
        kind = re.search(r"kind=(\w+)", instruction.attributes)
        return _FUSIONS.get(kind.group(1) if kind else "", OTHER_OPERATION)
    return _OPCODES.get(instruction.opcode, OTHER_OPERATION)
