"""Communication between the devices of a compiled program: kinds, counts and bytes of its collectives."""

import dataclasses
import math
import re

from motion_vit.training.ahead_of_time.compiled_program import CompiledProgram, Computation, Instruction

_COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)


@dataclasses.dataclass(frozen=True)
class Collective:
    """All communication of one kind in a run of the program, on one device.

    Attributes:
      kind: such as "all-reduce".
      count: number of collectives.
      bytes: bytes of the arrays that they work on: gathered results, else operands.
      sent: bytes that the device sends in a ring: `2 (n - 1) / n` of the array for an all-reduce among `n` devices, `(n
        - 1) / n` for a gather, scatter or exchange, all of it for a permutation.
    """

    kind: str
    count: int
    bytes: int
    sent: int


def collectives(program: CompiledProgram, devices: int) -> tuple[Collective, ...]:
    """Counts the communication of one run of a program.

    Args:
      program: the parsed program of one device.
      devices: number of devices that run it together.

    Returns:
      Collectives by kind, the largest sender first.
    """
    runs, _ = program.runs()
    fused = program.fused()
    counts: dict[str, list[int]] = {}
    seen: set[tuple[str, str, str]] = set()
    for name, times in runs.items():
        computation = program.computations[name]
        for instruction in computation.instructions.values():
            kind = _kind(computation, instruction)
            if kind is None:
                continue
            channel = instruction.attribute("channel_id")
            if name in fused and channel is not None:
                # One that runs beside other work appears, on one channel, in every fusion that carries a part of it.
                if (kind, channel, fused[name]) in seen:
                    continue
                seen.add((kind, channel, fused[name]))
            size, sent = _bytes(kind, computation, instruction, devices)
            before = counts.get(kind, [0, 0, 0])
            counts[kind] = [old + times * new for old, new in zip(before, (1, size, sent), strict=True)]
    found = [Collective(kind, *numbers) for kind, numbers in counts.items()]
    return tuple(sorted(found, key=lambda one: (-one.sent, one.kind)))


def _kind(computation: Computation, instruction: Instruction) -> str | None:
    kind = instruction.opcode.removesuffix("-start")
    if kind not in _COLLECTIVES:
        return None
    # How the TPU compiler writes it: the sum of all, of which each device keeps its part.
    if kind == "all-reduce" and computation.name.startswith("all-reduce-scatter"):
        return "reduce-scatter"
    return kind


def _bytes(kind: str, computation: Computation, instruction: Instruction, devices: int) -> tuple[int, int]:
    """Returns the bytes of the array that a collective works on, and the bytes that a device sends of it."""
    members = _group_size(instruction, devices)
    size = sum(array.bytes for array in computation.operand_types(instruction))
    if kind == "all-gather":
        size *= members
    share = (members - 1) / members
    factor = {"all-reduce": 2 * share, "collective-permute": 1.0, "collective-broadcast": 1.0}.get(kind, share)
    return size, round(size * factor)


def _group_size(instruction: Instruction, devices: int) -> int:
    """Returns the number of devices in each group of a collective."""
    text = instruction.attributes
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\].*?\{([^}]*)\}", text):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh.group(1)))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", mesh.group(2)))
    if iota := re.search(r"replica_groups=\[(\d+),(\d+)\]", text):
        return int(iota.group(2))
    if groups := re.search(r"replica_groups=\{\{([\d,]*)\}", text):
        return len(groups.group(1).split(","))
    return devices
