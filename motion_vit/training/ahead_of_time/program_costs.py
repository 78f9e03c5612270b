"""Costs of one run of a compiled program on a device: arithmetic, memory traffic and communication.

All counts come from the program's text, with the body of a loop counted as often as it runs. They are those of one
device: the compiler has already split the program.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

import numpy as np

from motion_vit.training.ahead_of_time.collectives import Collective, collectives
from motion_vit.training.ahead_of_time.compiled_program import ArrayType, CompiledProgram, Computation, Instruction

_FREE = frozenset(
    (
        *("parameter", "constant", "tuple", "get-tuple-element", "bitcast"),
        *("after-all", "partition-id", "replica-id", "add-dependency", "opt-barrier"),
    )
)
"""Instructions that move no bytes."""

_CONTROL = frozenset(("while", "call", "conditional", "async-start"))
"""Instructions whose bytes are those of the computations that they call."""

_FREE_CALLS = ("ConcatBitcast", "AllocateBuffer", "AllocateTemporary", "Sharding", "SPMDFullToShardShape")
"""Custom calls by which a compiler places arrays without moving them."""

_LIBRARY_CALL = re.compile(r'custom_call_target="(__cublas|__cudnn|__onednn|tpu_custom_call)')
"""Calls of libraries and of kernels, whose arithmetic the text does not hold."""

_SLICES = ("dynamic-slice", "slice", "gather")


@dataclasses.dataclass(frozen=True)
class ProgramCosts:
    """The costs of one run of a program on one device.

    Attributes:
      flops: floating-point operations of matrix products and convolutions, a multiply-add being two.
      bytes_accessed: bytes that its operations read and write, each operand and result once per operation, the fast
        memory on the chip included; as XLA's cost analysis defines it.
      main_memory_bytes: the part of them in the device's main memory. The two only differ on TPU.
      collectives: communication by kind, in the order of the bytes sent.
      unknown_loops: number of loops that count once because their length is not in the text.
      library_calls: number of calls of libraries and kernels (cuBLAS, cuDNN, Pallas), which `flops` leaves out.
    """

    flops: int
    bytes_accessed: int
    main_memory_bytes: int
    collectives: tuple[Collective, ...]
    unknown_loops: int
    library_calls: int


def program_costs(program: CompiledProgram, devices: int) -> ProgramCosts:
    """Counts the costs of a program.

    Args:
      program: the parsed program of one device.
      devices: number of devices that run it together.

    Returns:
      The costs.
    """
    runs, unknown = program.runs()
    fused = program.fused()
    flops = accessed = main = library_calls = 0
    for name, times in runs.items():
        computation = program.computations[name]
        for instruction in computation.instructions.values():
            flops += times * instruction_flops(computation, instruction)
            library_calls += times * bool(_LIBRARY_CALL.search(instruction.attributes))
            # A fusion moves what its caller sees; what happens inside of it stays in registers.
            for size, on_chip in () if name in fused else _traffic(program, computation, instruction):
                accessed += times * size
                main += 0 if on_chip else times * size
    return ProgramCosts(flops, accessed, main, collectives(program, devices), unknown, library_calls)


def instruction_flops(computation: Computation, instruction: Instruction) -> int:
    """Counts the operations of a matrix product or a convolution; 0 for anything else.

    Args:
      computation: contains the instruction.
      instruction: of any kind.

    Returns:
      Twice its multiply-adds, without those with the zeros of padding.
    """
    if instruction.opcode == "dot":
        left = computation.operand_types(instruction)[0]
        contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.attributes)
        axes = [int(axis) for axis in contracted.group(1).split(",") if axis] if contracted else []
        return 2 * instruction.results[0].size * math.prod(left.dims[axis] for axis in axes)
    if instruction.opcode == "convolution":
        inputs, kernel = computation.operand_types(instruction)
        return 2 * _convolution_multiply_adds(inputs, kernel, instruction)
    return 0


def _convolution_multiply_adds(inputs: ArrayType, kernel: ArrayType, instruction: Instruction) -> int:
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    if labels is None:
        return 0
    input_labels, kernel_labels, output_labels = labels.groups()
    output = instruction.results[0]
    window = _window(instruction, sum(label.isdigit() for label in input_labels))
    positions = 1
    for axis, (stride, low, base, dilation) in enumerate(window):
        input_size = inputs.dims[input_labels.index(str(axis))]
        output_size = output.dims[output_labels.index(str(axis))]
        taps = kernel.dims[kernel_labels.index(str(axis))]
        places = np.arange(output_size)[:, None] * stride - low + np.arange(taps)[None, :] * dilation
        positions *= int(np.sum((places >= 0) & (places % base == 0) & (places // base < input_size)))
    batch_groups = int(instruction.attribute("batch_group_count") or 1)
    features_in = kernel.dims[kernel_labels.index("i")]
    features_out = output.dims[output_labels.index("f")]
    batch = inputs.dims[input_labels.index("b")] // batch_groups
    return positions * batch * features_in * features_out


def _window(instruction: Instruction, axes: int) -> list[tuple[int, int, int, int]]:
    """Parses, for each spatial axis, the stride, padding before, dilation of the input and dilation of the kernel."""
    text = re.search(r"window=\{([^}]*)\}", instruction.attributes)
    fields = dict(part.split("=") for part in text.group(1).split()) if text else {}

    def numbers(name: str, default: str) -> list[int]:
        return [int(value.split("_")[0]) for value in fields.get(name, "x".join([default] * axes)).split("x") if value]

    return list(
        zip(
            numbers("stride", "1"),
            numbers("pad", "0_0"),
            numbers("lhs_dilate", "1"),
            numbers("rhs_dilate", "1"),
            strict=True,
        )
    )


def _traffic(
    program: CompiledProgram, computation: Computation, instruction: Instruction
) -> Iterator[tuple[int, bool]]:
    """Yields the bytes that an instruction reads and writes, array by array, and whether the array is on the chip."""
    opcode = instruction.opcode
    if opcode in _FREE | _CONTROL or opcode.endswith("-done"):
        return
    if opcode == "custom-call" and (instruction.attribute("custom_call_target") or "").strip('"') in _FREE_CALLS:
        return
    results = instruction.results
    if opcode.endswith("-start"):
        # The tuple of an asynchronous copy or collective holds its operands, its results and flags.
        operands = computation.operand_types(instruction)
        arrays = [result for result in results if result.dims]
        moved = arrays[len(operands) :] or arrays
        yield from ((array.bytes, array.on_chip) for array in moved)
        yield from ((_as_large_as(moved, array), array.on_chip) for array in operands)
    elif opcode in _SLICES:
        yield from ((array.bytes, array.on_chip) for array in results)
        yield results[0].bytes, computation.operand_types(instruction)[0].on_chip
    elif opcode == "dynamic-update-slice":
        update = computation.operand_types(instruction)[1]
        yield update.bytes, update.on_chip
        yield update.bytes, results[0].on_chip
    elif opcode == "fusion":
        yield from _fusion_traffic(program.computations[instruction.called["calls"]], computation, instruction)
    else:
        yield from ((array.bytes, array.on_chip) for array in results)
        yield from ((array.bytes, array.on_chip) for array in computation.operand_types(instruction))


def _as_large_as(moved: list[ArrayType], operand: ArrayType) -> int:
    """Returns the array that an asynchronous copy reads: no more than it writes, if it takes a slice."""
    return min(operand.bytes, sum(array.bytes for array in moved))


def _fusion_traffic(body: Computation, caller: Computation, fusion: Instruction) -> Iterator[tuple[int, bool]]:
    """Yields the traffic of a fusion, which may read slices, or return an operand with a part replaced."""
    outputs = _outputs(body)
    updates = [_in_place_update(body, output) for output in outputs]
    updated = {update[0] for update in updates if update is not None}
    for index, name in enumerate(fusion.operands):
        operand = caller.instructions[name]
        parameter = body.parameter(index)
        if parameter.name in updated:
            continue
        readers = body.readers(parameter.name)
        size = operand.bytes
        if readers and all(reader.opcode in _SLICES and reader.operands[0] == parameter.name for reader in readers):
            size = min(size, sum(reader.bytes for reader in readers))
        yield size, all(array.on_chip for array in operand.results)
    for result, update in zip(fusion.results, updates, strict=True):
        yield result.bytes if update is None else 2 * update[1], result.on_chip


def _outputs(body: Computation) -> list[Instruction]:
    """Finds the instruction that makes each of the arrays that a computation returns."""
    is_tuple = body.root.opcode == "tuple"
    makers = [body.instructions[name] for name in body.root.operands] if is_tuple else [body.root]
    # A reduction of several arrays at once makes all its results.
    return [maker for maker in makers for _ in maker.results]


def _in_place_update(body: Computation, output: Instruction) -> tuple[str, int] | None:
    """Finds the parameter that an output equals except for a replaced part, and the bytes of that part."""
    output = _behind_bitcasts(body, output)
    if output.opcode != "dynamic-update-slice":
        return None
    target = _behind_bitcasts(body, body.instructions[output.operands[0]])
    return (target.name, body.instructions[output.operands[1]].bytes) if target.opcode == "parameter" else None


def _behind_bitcasts(body: Computation, instruction: Instruction) -> Instruction:
    while instruction.opcode == "bitcast":
        instruction = body.instructions[instruction.operands[0]]
    return instruction
