"""Compiles a function for one device that need not be there, and counts what its program costs."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax

from motion_vit.ops.platform import Platform, target_platform
from motion_vit.training.ahead_of_time.compiled_program import parse_program
from motion_vit.training.ahead_of_time.program_costs import ProgramCosts, program_costs
from motion_vit.training.ahead_of_time.topology import compiler_options, topology_devices


@dataclasses.dataclass(frozen=True)
class CompiledCosts:
    """A program and its costs.

    Attributes:
      costs: by the program's text.
      temporary_bytes: memory besides inputs and outputs.
      compile_seconds: compile time on this machine.
      program: what was compiled.
    """

    costs: ProgramCosts
    temporary_bytes: int
    compile_seconds: float
    program: jax.stages.Compiled


def compile_for(topology: str, function: Callable[..., Any], arguments: Any) -> CompiledCosts:
    """Compiles a function for the first device of a topology.

    Args:
      topology: see `topology_devices`.
      function: takes the arguments by position; it was not traced before.
      arguments: a tuple of trees of `jax.ShapeDtypeStruct`.

    Returns:
      The program and its costs.
    """
    device = topology_devices(topology)[0]
    sharding = jax.sharding.SingleDeviceSharding(device)
    placed = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), arguments)
    options: Mapping[str, bool] = compiler_options(topology)
    with target_platform(cast(Platform, device.platform)):
        start = time.perf_counter()
        program = jax.jit(function).lower(*placed).compile(dict(options))
    seconds = time.perf_counter() - start
    costs = program_costs(parse_program(program.as_text() or ""), devices=1)
    return CompiledCosts(costs, program.memory_analysis().temp_size_in_bytes, seconds, program)
