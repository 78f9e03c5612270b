"""Compiles a recipe's training step for devices that need not be attached, and reports memory, arithmetic and traffic.

The report shows that a recipe does not fit a slice, or that its chips communicate too much, before any of it is paid
for. The compiled program is the one that training runs (`motion_vit.training.step.program`).
"""

import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.ops.platform import Platform, target_platform
from motion_vit.training.ahead_of_time.compiled_program import parse_program
from motion_vit.training.ahead_of_time.program_costs import ProgramCosts, program_costs
from motion_vit.training.ahead_of_time.topology import compiler_options, topology_devices, usable_memory
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.step.program import TrainingProgram, build_program

# The length of a run is in the program as constants of the learning rate alone.
_STEPS, _STEPS_PER_EPOCH = 10_000, 1_000


@dataclasses.dataclass(frozen=True)
class MemoryByKind:
    """Bytes on one device while a step runs.

    Attributes:
      params: the parameters.
      opt_state: the optimizer's moments.
      other_state: running statistics, averages of parameters, counters.
      batch: the batch, or its part of this device.
      padding: padding of the device's memory layout for these four.
      outputs: results that do not reuse the memory of the previous state.
      temporaries: intermediate values of the step, above all activations.
      code: the program itself.
    """

    params: int
    opt_state: int
    other_state: int
    batch: int
    padding: int
    outputs: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        """Sum of all kinds."""
        return sum(dataclasses.asdict(self).values())


@dataclasses.dataclass(frozen=True)
class ScalingReport:
    """Costs of a recipe's training step; all amounts are those of one device.

    Attributes:
      topology: its name, as requested.
      devices: number of devices.
      device_kind: `jax.Device.device_kind`.
      mesh: devices along each axis.
      clips: clips per step, over all devices.
      limit: memory that a program may use, None if unknown.
      compile_seconds: time of tracing and compiling.
      memory: use of memory, None if the compiler refused the step for its memory.
      costs: arithmetic, traffic and communication, None likewise.
      refusal: message of the compiler when it refused, else "".
    """

    topology: str
    devices: int
    device_kind: str
    mesh: dict[str, int]
    clips: int
    limit: int | None
    compile_seconds: float
    memory: MemoryByKind | None
    costs: ProgramCosts | None
    refusal: str = ""

    @property
    def fits(self) -> bool:
        """True if the memory suffices for the step, as far as is known."""
        return self.memory is not None and (self.limit is None or self.memory.total <= self.limit)

    @property
    def clips_per_device(self) -> float:
        """Clips per step divided by the devices; below 1 where several devices share the frames of a clip."""
        return self.clips / self.devices

    def to_dict(self) -> dict[str, Any]:
        """Returns the report and derived values as nested mappings for JSON."""
        values = dataclasses.asdict(self)
        if self.memory is not None and self.costs is not None:
            values["memory"]["total"] = self.memory.total
            values["costs"]["bytes_accessed_per_clip"] = self.costs.bytes_accessed / self.clips_per_device
            values["costs"]["main_memory_bytes_per_clip"] = self.costs.main_memory_bytes / self.clips_per_device
        return values | {"fits": self.fits, "clips_per_device": self.clips_per_device}


def scaling_report(config: ConfigDict, topology: str, *, num_classes: int) -> ScalingReport:
    """Compiles a recipe's training step for a TPU slice, GPUs or the devices of this machine, and measures it.

    Args:
      config: the recipe; its data need not exist.
      topology: a TPU slice such as "v5e:4x4", GPUs such as "h100:8" (see `topology_devices`), or "local".
      num_classes: classes of the training data.

    Returns:
      The report.

    Raises:
      UserError: the topology is unknown, its compiler or a library that the step is compiled for is missing, or the
        recipe does not fit the number of devices.
    """
    devices: Sequence[jax.Device] = topology_devices(topology)
    validate_fields(config)
    if config.distillation.teachers:
        raise UserError(
            "the recipe has teachers (config field distillation.teachers), whose weights are read when a run starts "
            "and are not there to be compiled for. Look at the student by itself: --config.distillation.teachers='()'. "
            "A teacher adds its parameters to the memory, and a forward pass to the arithmetic."
        )
    try:
        mesh = meshes.make_mesh(**config.mesh, devices=devices)
        program = build_program(
            config,
            mesh,
            clips_of_class=[1] * num_classes,
            total_steps=_STEPS,
            steps_per_epoch=_STEPS_PER_EPOCH,
        )
    except UserError as error:
        raise UserError(f"for {len(devices)} devices ({topology}): {error}") from error
    started = time.perf_counter()
    compiled, refusal = _compile(program, devices[0].platform, compiler_options(topology))
    return ScalingReport(
        topology=topology,
        devices=len(devices),
        device_kind=devices[0].device_kind,
        mesh=dict(mesh.shape),
        clips=config.batch_size * config.augmentation.repeats,
        limit=usable_memory(devices[0]),
        compile_seconds=time.perf_counter() - started,
        memory=None if compiled is None else _memory(program, compiled.memory_analysis(), devices[0].platform),
        costs=None if compiled is None else program_costs(parse_program(compiled.as_text() or ""), len(devices)),
        refusal=refusal,
    )


def _compile(
    program: TrainingProgram, platform: str, options: Mapping[str, bool]
) -> tuple[jax.stages.Compiled | None, str]:
    """Compiles the step; returns the compiler's message instead where it refuses the step for its memory."""
    step = cast(jax.stages.Wrapped, program.step)
    try:
        with target_platform(cast(Platform, platform)):
            lowered = step.lower(program.abstract_state(), program.abstract_batch())
    except RuntimeError as error:
        if not re.match(r"cuDNN (is )?not ", str(error)):
            raise
        raise UserError(
            "attention of this recipe is compiled for cuDNN, which is not installed: pip install 'motion_vit[gpu]', or "
            "choose --config.model.options.attention_implementation=xla."
        ) from error
    try:
        return lowered.compile(dict(options)), ""
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None, _refusal(str(error))


def _memory(program: TrainingProgram, analysis: Any, platform: str) -> MemoryByKind:
    state, batch = program.abstract_state(), program.abstract_batch()
    params, opt_state, whole = (_device_bytes(tree) for tree in (state.params, state.opt_state, state))
    inputs = whole + _device_bytes(batch)
    outputs = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    temporaries = analysis.temp_size_in_bytes
    if platform == "tpu":
        # There the size of temporaries holds what loops pass on more than once: the compiler takes steps in which it is
        # larger than the chip, and refuses those whose peak is.
        temporaries = max(analysis.peak_memory_in_bytes - analysis.argument_size_in_bytes - outputs, 0)
    return MemoryByKind(
        params=params,
        opt_state=opt_state,
        other_state=whole - params - opt_state,
        batch=_device_bytes(batch),
        padding=max(analysis.argument_size_in_bytes - inputs, 0),
        outputs=outputs,
        temporaries=temporaries,
        code=analysis.generated_code_size_in_bytes,
    )


def _device_bytes(tree: Any) -> int:
    """Sums the bytes on one device of shapes with shardings."""
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _refusal(message: str) -> str:
    """Extracts the sentence of the compiler's message that says how much memory is missing."""
    found = re.search(r"[^\n.]*(?:total memory required|Used [\d.]+[KMGT]?i?B? of)[^\n]*", message)
    sentence = found.group(0) if found else message.splitlines()[0]
    # Since libtpu 0.0.50, the number and the name of the error come before it, and the program's name after it.
    return re.sub(r"^(?:[A-Z_]+: )?(?:E\d+: \w+: )?| HLO module: \S+$", "", sentence.strip())
