"""Parses the text of a compiled program (XLA's HLO after optimisation) into computations, instructions and array types.

XLA's own cost analysis counts the body of a loop once, however often it runs, so that a network whose blocks are a loop
looks like a fraction of its cost. Therefore `program_costs` takes costs from the text, which this module parses,
together with the number of runs of each computation.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

_BITS = {"pred": 8, "token": 0, "opaque": 0} | {
    f"{kind}{bits}": bits for kind in ("s", "u", "bf", "f") for bits in (1, 2, 4, 8, 16, 32, 64)
}
_COMPLEX_BITS = {"c64": 64, "c128": 128}

_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_HEADER = re.compile(r"^(ENTRY )?%?([^\s(]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([^\s=]+) = (.*)$")
_CALLED = re.compile(r"\b(body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_KNOWN_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_ON_CHIP = "S(1)"
"""How the TPU compiler marks arrays that live in the fast memory on the chip."""


@dataclasses.dataclass(frozen=True)
class ArrayType:
    """The type of one array.

    Attributes:
      dtype: XLA's name of the element type.
      dims: the shape.
      bytes: memory in bytes, with the padding of tiled layouts (TPU).
      on_chip: whether it is in the fast memory on the chip rather than in the device's main memory.
    """

    dtype: str
    dims: tuple[int, ...]
    bytes: int
    on_chip: bool

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction of a computation.

    Attributes:
      name: unique in its computation.
      opcode: operation, such as "fusion" or "all-reduce".
      results: its output arrays, those of nested tuples in order.
      operands: names of the instructions that it reads.
      called: the computations that it calls, by the attribute that names them ("body", "calls", "branch0").
      literal: text in the parentheses of a constant or a parameter, "" otherwise.
      attributes: the rest of its line.
    """

    name: str
    opcode: str
    results: tuple[ArrayType, ...]
    operands: tuple[str, ...]
    called: Mapping[str, str]
    literal: str
    attributes: str

    @property
    def bytes(self) -> int:
        """Bytes of all results."""
        return sum(result.bytes for result in self.results)

    def attribute(self, name: str) -> str | None:
        """Returns the value of an attribute without spaces, or None."""
        found = re.search(rf"\b{name}=(\{{[^}}]*\}}|[^\s,]+)", self.attributes)
        return found.group(1) if found else None


@dataclasses.dataclass(frozen=True)
class Computation:
    """A function of the program.

    Attributes:
      name: unique in the program.
      instructions: by name, in their order.
      root: the instruction that returns its result.
    """

    name: str
    instructions: Mapping[str, Instruction]
    root: Instruction

    def parameter(self, index: int) -> Instruction:
        """Returns the parameter with an index."""
        for instruction in self.instructions.values():
            if instruction.opcode == "parameter" and instruction.literal == str(index):
                return instruction
        raise KeyError(f"{self.name} has no parameter {index}")

    def operand_types(self, instruction: Instruction) -> list[ArrayType]:
        """Returns the arrays that an instruction reads."""
        return [result for name in instruction.operands for result in self.instructions[name].results]

    def readers(self, name: str) -> list[Instruction]:
        """Returns the instructions that read an instruction's result."""
        return [instruction for instruction in self.instructions.values() if name in instruction.operands]


@dataclasses.dataclass(frozen=True)
class CompiledProgram:
    """A parsed program.

    Attributes:
      computations: by name.
      entry: the computation that runs.
    """

    computations: Mapping[str, Computation]
    entry: Computation

    def runs(self) -> tuple[dict[str, int], int]:
        """Counts the runs of each computation, including fused ones.

        A loop of unknown length counts once, and so does every branch of a condition.

        Returns:
          Runs by name of computation, and the number of loops of unknown length.
        """
        counts: dict[str, int] = {}
        unknown = 0

        def visit(computation: Computation, times: int) -> None:
            nonlocal unknown
            counts[computation.name] = counts.get(computation.name, 0) + times
            for instruction in computation.instructions.values():
                trips = 1
                if instruction.opcode == "while":
                    known = self._trip_count(computation, instruction)
                    unknown += known is None
                    trips = 1 if known is None else known
                for attribute, callee in instruction.called.items():
                    if attribute != "to_apply" or instruction.opcode == "call":
                        visit(self.computations[callee], times * trips)

        visit(self.entry, 1)
        return counts, unknown

    def fused(self) -> dict[str, str]:
        """Maps each computation that is part of a fusion to the computation that contains the fusion."""
        callers: dict[str, str] = {}

        def mark(name: str, caller: str) -> None:
            callers[name] = caller
            for instruction in self.computations[name].instructions.values():
                for callee in instruction.called.values():
                    mark(callee, caller)

        for computation in self.computations.values():
            for instruction in computation.instructions.values():
                if instruction.opcode == "fusion" and computation.name not in callers:
                    mark(instruction.called["calls"], computation.name)
        return callers

    def _trip_count(self, caller: Computation, loop: Instruction) -> int | None:
        """Returns the trip count of a loop that `lax.scan` or `lax.map` made: a counter below a limit."""
        if known := _KNOWN_TRIPS.search(loop.attributes):
            return int(known.group(1))
        condition = self.computations[loop.called["condition"]]
        compare = condition.root
        if compare.opcode == "fusion":
            inner = self.computations[compare.called["calls"]].root
            operands = [self._fused_operand(compare, name) for name in inner.operands]
            compare = dataclasses.replace(inner, operands=tuple(operands))
        if compare.opcode != "compare" or compare.attribute("direction") != "LT":
            return None
        start, limit = (self._loop_value(caller, loop, condition, name) for name in compare.operands)
        return None if start is None or limit is None else limit - start

    def _fused_operand(self, fusion: Instruction, name: str) -> str:
        inner = self.computations[fusion.called["calls"]].instructions[name]
        return fusion.operands[int(inner.literal)] if inner.opcode == "parameter" else name

    def _loop_value(self, caller: Computation, loop: Instruction, condition: Computation, name: str) -> int | None:
        """Returns the constant that the condition reads, or the initial value of an element of the loop's tuple."""
        instruction = condition.instructions.get(name)
        if instruction is None:
            return None
        if instruction.opcode == "get-tuple-element":
            index = int(instruction.attribute("index") or 0)
            initial = caller.instructions[loop.operands[0]]
            if initial.opcode != "tuple":
                return None
            instruction = caller.instructions[initial.operands[index]]
            while instruction.opcode in ("copy", "bitcast"):
                instruction = caller.instructions[instruction.operands[0]]
        is_number = instruction.opcode == "constant" and re.fullmatch(r"-?\d+", instruction.literal)
        return int(instruction.literal) if is_number else None


def parse_program(text: str) -> CompiledProgram:
    """Parses the text of a compiled program, `jax.stages.Compiled.as_text()`.

    Args:
      text: HLO after optimisation.

    Returns:
      The program.

    Raises:
      ValueError: the text has no entry computation.
    """
    computations: dict[str, Computation] = {}
    entry = None
    for is_entry, name, lines in _sections(text):
        instructions: dict[str, Instruction] = {}
        root = None
        for is_root, instruction in map(_parse_instruction, lines):
            instructions[instruction.name] = instruction
            root = instruction if is_root or root is None else root
        if root is not None:
            computations[name] = Computation(name, instructions, root)
            entry = computations[name] if is_entry else entry
    if entry is None:
        raise ValueError("the text of a compiled program must have an ENTRY computation, but this has none")
    return CompiledProgram(computations, entry)


def array_types(text: str) -> tuple[ArrayType, ...]:
    """Parses the array types in a text such as `(f32[2,3]{1,0}, s32[])`.

    Args:
      text: a type, or a tuple of types.

    Returns:
      The arrays in order.
    """
    return tuple(_array_type(*match.groups()) for match in _ARRAY.finditer(text))


def _sections(text: str) -> Iterator[tuple[bool, str, list[str]]]:
    """Splits a program into computations: whether it is the entry, its name, the lines of its instructions."""
    header: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if header is None:
            header = _HEADER.match(line)
            lines = []
        elif line.startswith("}"):
            yield header.group(1) is not None, header.group(2), lines
            header = None
        elif _INSTRUCTION.match(line):
            lines.append(line)


def _parse_instruction(line: str) -> tuple[bool, Instruction]:
    found = _INSTRUCTION.match(re.sub(r"/\*.*?\*/", "", line))
    if found is None:
        raise ValueError(f"not an instruction: {line!r}")
    is_root, name, rest = found.groups()
    type_end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    opcode, _, _ = rest[type_end:].strip().partition("(")
    start = rest.index("(", type_end)
    end = _closing(rest, start)
    inside, attributes = rest[start + 1 : end], rest[end + 1 :]
    called = {match.group(1): match.group(2) for match in _CALLED.finditer(attributes)}
    if branches := _BRANCHES.search(attributes):
        names = [branch.strip().lstrip("%") for branch in branches.group(1).split(",")]
        called |= {f"branch{index}": branch for index, branch in enumerate(names)}
    is_leaf = opcode in ("constant", "parameter")
    instruction = Instruction(
        name=name,
        opcode=opcode,
        results=array_types(rest[:type_end]),
        operands=() if is_leaf else tuple(re.findall(r"%([\w.\-]+)", inside)),
        called=called,
        literal=inside if is_leaf else "",
        attributes=attributes,
    )
    return is_root is not None, instruction


def _closing(text: str, start: int) -> int:
    """Returns the index of the parenthesis that closes the one at `start`."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    raise ValueError(f"unbalanced parentheses: {text!r}")


def _array_type(dtype: str, dims: str, order: str | None, layout: str | None) -> ArrayType:
    shape = tuple(int(size) for size in dims.split(",") if size)
    padded = list(shape)
    # The first tile covers the most minor dimensions, which are padded to whole tiles; the others order its elements.
    if tile := re.match(r"T\(([\d,]+)\)", layout or ""):
        minor_to_major = [int(axis) for axis in (order or "").split(",") if axis]
        for axis, size in zip(minor_to_major, reversed([int(size) for size in tile.group(1).split(",")]), strict=False):
            padded[axis] = -(-padded[axis] // size) * size
    bits = _COMPLEX_BITS.get(dtype) or _BITS.get(dtype, int(re.sub(r"\D.*", "", re.sub(r"^\D+", "", dtype)) or 0))
    return ArrayType(dtype, shape, math.prod(padded) * bits // 8, _ON_CHIP in (layout or ""))
