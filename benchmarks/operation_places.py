"""Attributes the operations of a compiled training step to the network's stages, kinds of layers, and passes.

Every instruction of a program carries the names under which it was traced, such as
`jit(train_step)/transpose(jvp(UniFormer))/stage3/stage3._apply_block/block1/mlp/fc1/dot_general`. The kind of a layer,
such as of `stage3/block1/mlp`, is recorded while the model is traced.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from network_stages import STAGES

from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.depthwise_conv3d import DepthwiseConv3D
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.linear import Linear
from motion_vit.modules.mlp import Mlp
from motion_vit.modules.patch_embedding import PatchEmbedding
from motion_vit.modules.token_embedding import TokenEmbedding
from motion_vit.training.ahead_of_time.compiled_program import CompiledProgram, Computation, Instruction

Path = tuple[str, ...]

HEAD = "head"
OPTIMIZER = "optimizer"
UNKNOWN = "unknown"
OTHER = "other"
FORWARD, BACKWARD, NEITHER = "forward", "backward", ""

_KINDS: tuple[tuple[type[nn.Module], str], ...] = (
    (PatchEmbedding, "patch embedding"),
    (TokenEmbedding, "patch embedding"),
    (Emim, "cost-volume attention"),
    (GlobalAttention, "attention"),
    (Mlp, "perceptron"),
    (DepthwiseConv3D, "depthwise convolution"),
    (BatchNorm, "normalisation"),
    (nn.LayerNorm, "normalisation"),
    (Linear, "other linear layers"),
)
KINDS = (*dict.fromkeys(kind for _, kind in _KINDS), OPTIMIZER, OTHER)
"""All kinds, in the order in which they are shown. "other" is residual sums, the loss, and what has no layer."""

_OPERATION_NAME = re.compile(r'op_name="([^"]*)"')


class Place(NamedTuple):
    """The place of an operation in a training step.

    Attributes:
      stage: a stage of the model, `HEAD` (everything after the stages, and the loss), `OPTIMIZER` or `UNKNOWN`.
      kind: one of `KINDS`.
      direction: `FORWARD`, `BACKWARD`, or `NEITHER` for the optimizer and unknown operations.
    """

    stage: str
    kind: str
    direction: str


def stage_names(model: nn.Module) -> list[str]:
    """Lists the stages that a `Place` may have, in the order of the network."""
    return [*STAGES[type(model)], HEAD, OPTIMIZER, UNKNOWN]


def places_of(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lists the stages and passes of a profile of `profile_step`, in the order of the network."""
    found = {(entry["stage"], entry["direction"]) for entry in result["seconds"]}
    order = [(stage, direction) for stage in result["stages"] for direction in (FORWARD, BACKWARD, NEITHER)]
    return [place for place in order if place in found]


def layer_kinds(model: nn.Module) -> dict[Path, str]:
    """Finds the kind of every module of a model, "" for those that only hold others.

    Args:
      model: a model of `motion_vit.create_model`.

    Returns:
      Path of the module to kind.
    """
    kinds: dict[Path, str] = {}

    def record(
        call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], context: nn.module.InterceptorContext
    ) -> Any:
        module = context.module
        kinds[module.path] = next((kind for layer, kind in _KINDS if isinstance(module, layer)), "")
        return call(*args, **kwargs)

    def initialise() -> Any:
        with nn.intercept_methods(record):
            return model.init(jax.random.key(0), jnp.zeros((1, *model.clip_shape), jnp.float32))

    jax.eval_shape(initialise)
    return kinds


def place_finder(model: nn.Module) -> Callable[[str], Place]:
    """Makes a function from an operation's name to its place.

    Args:
      model: a model whose class is in `network_stages.STAGES`, and whose blocks are no loop (`scan_blocks`).

    Returns:
      The function. It takes "" for an operation without a name.
    """
    kinds = layer_kinds(model)
    stage_of = {part: stage for stage, parts in STAGES[type(model)].items() for part in parts}
    root = re.compile(rf"\b{type(model).__name__}\b")

    def find(name: str) -> Place:
        # Of operations that the compiler has joined, the first one stands for all.
        scopes = name.partition(";")[0].split("/")
        direction = BACKWARD if "transpose(" in name or "rematted_computation" in name else FORWARD
        if OPTIMIZER in scopes:
            return Place(OPTIMIZER, OPTIMIZER, NEITHER)
        start = next((index for index, scope in enumerate(scopes) if root.search(scope)), None)
        if start is None:
            is_loss = any(re.search(r"\bloss\b", scope) for scope in scopes)
            return Place(HEAD, OTHER, direction) if is_loss else Place(UNKNOWN, OTHER, NEITHER)
        path: Path = ()
        kind = ""
        for scope in scopes[start + 1 :]:
            if (*path, scope) in kinds:
                path = (*path, scope)
                # The outermost layer with a kind: what is inside of a perceptron or of attention is part of it.
                kind = kind or kinds[path]
        return Place(stage_of.get(path[0], HEAD) if path else HEAD, kind or OTHER, direction)

    return find


def operation_names(program: CompiledProgram) -> dict[str, str]:
    """Finds the names under which instructions were traced.

    Instructions that the compiler adds, such as copies, are named after what they read, or else after what reads them,
    or after their loop.

    Args:
      program: the parsed program.

    Returns:
      Instruction to name, without instructions that have none.
    """
    names: dict[str, str] = {}
    computations = program.computations
    for computation in computations.values():
        for instruction in computation.instructions.values():
            if instruction.opcode != "parameter" and (name := _own_name(instruction, computations)):
                names[instruction.name] = name
    for neighbours in (_read, _readers):
        _spread(names, computations, neighbours)
    for computation in computations.values():
        for loop in computation.instructions.values():
            for callee in loop.called.values():
                for instruction in computations[callee].instructions:
                    if loop.name in names:
                        names.setdefault(instruction, names[loop.name])
    return names


def _own_name(instruction: Instruction, computations: Mapping[str, Computation]) -> str:
    """Returns the name in an instruction's metadata, or the most frequent one in a fusion; "" for none."""
    if found := _OPERATION_NAME.search(instruction.attributes):
        return found.group(1)
    joined = computations[instruction.called["calls"]].instructions.values() if "calls" in instruction.called else ()
    inner = Counter(
        found.group(1)
        for each in joined
        if each.opcode != "parameter" and (found := _OPERATION_NAME.search(each.attributes))
    )
    return inner.most_common(1)[0][0] if inner else ""


def _spread(
    names: dict[str, str],
    computations: Mapping[str, Computation],
    neighbours: Callable[[Computation, Instruction], Iterable[str]],
) -> None:
    """Names instructions without a name after the first neighbour that has one, until no more can be named."""
    is_growing = True
    while is_growing:
        is_growing = False
        for computation in computations.values():
            for instruction in computation.instructions.values():
                if instruction.name in names or instruction.opcode == "parameter":
                    continue
                named = [names[name] for name in neighbours(computation, instruction) if name in names]
                if named:
                    names[instruction.name] = named[0]
                    is_growing = True


def _read(computation: Computation, instruction: Instruction) -> Iterable[str]:
    return instruction.operands


def _readers(computation: Computation, instruction: Instruction) -> Iterable[str]:
    return (reader.name for reader in computation.readers(instruction.name))
