"""What a model costs: parameters, multiply-adds and activation memory, part by part, without running it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from motion_vit.models.checked_model import checked_model, refusals_told
from motion_vit.models.motion_blindness import describe_motion_blindness
from motion_vit.models.video_model import VideoModel


@dataclasses.dataclass(frozen=True)
class PartCost:
    """The cost of one part of a model (a child of its root or of its backbone, such as `stage3`) for one clip.

    Attributes:
      parameters: number of parameters.
      multiply_adds: multiply-adds of a forward pass: of linear layers, convolutions and attention, as papers count
        them.
      activation_bytes: bytes of the outputs of all its layers, roughly what training keeps for the backward pass
        without rematerialisation. Attention weights are not counted: the implementations keep them or not.
      output_shape: shape of its output, without the batch.
    """

    parameters: int
    multiply_adds: int
    activation_bytes: int
    output_shape: tuple[int, ...]


def measure_costs(model: VideoModel, clip_shape: tuple[int, int, int, int] | None = None) -> dict[str, PartCost]:
    """Measures every part of a model for one clip by tracing its shapes.

    Args:
      model: a model of `motion_vit.create_model`.
      clip_shape: frames, height, width and channels; by default the nominal clip of the model.

    Returns:
      Part name to cost, in the order of the forward pass.

    Raises:
      UserError: the model cannot take such clips.
    """
    if clip_shape is None:
        clip_shape = model.clip_shape
    multiply_adds: dict[tuple[str, ...], int] = {}
    outputs: dict[tuple[str, ...], jax.Array] = {}

    def record(
        call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], context: nn.module.InterceptorContext
    ) -> Any:
        output = call(*args, **kwargs)
        module = context.module
        if context.method_name == "__call__" and not isinstance(module, nn.Dropout) and isinstance(output, jax.Array):
            multiply_adds[module.path] = _own_multiply_adds(module, args)
            outputs[module.path] = output
        return output

    def initialise() -> Any:
        with nn.intercept_methods(record):
            return model.init(jax.random.key(0), jnp.zeros((1, *clip_shape), jnp.float32))

    with refusals_told(clip_shape):
        parameters = jax.eval_shape(initialise)["params"]
    containers = {path[:depth] for path in outputs for depth in range(len(path))}
    # Behind an input adapter, the parts of the backbone are the interesting ones.
    within = tuple(filter(None, model.inner_prefix.split("/")))
    parts = [path for path in outputs if len(path) == 1 + len(within) * (path[: len(within)] == within)]
    return {
        "/".join(path): PartCost(
            parameters=sum(leaf.size for leaf in jax.tree.leaves(_below(parameters, path))),
            multiply_adds=sum(count for inner, count in multiply_adds.items() if inner[: len(path)] == path),
            activation_bytes=sum(
                output.size * output.dtype.itemsize
                for inner, output in outputs.items()
                if inner[: len(path)] == path and inner not in containers
            ),
            output_shape=outputs[path].shape[1:],
        )
        for path in parts
    }


def _below(tree: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    """The part of a tree at a path, {} where there is none."""
    for name in path:
        tree = tree.get(name, {})
    return tree


def _own_multiply_adds(module: nn.Module, args: tuple[Any, ...]) -> int:
    """Multiply-adds of a layer itself, without those of the layers in it."""
    count = getattr(module, "multiply_adds", None)
    return count(args[0]) if count else 0


def inspect_model(name: str, options: Mapping[str, Any]) -> str:
    """A table of a model's parts: output shape, parameters, GMACs and activation memory of one clip.

    Args:
      name: a name of `motion_vit.list_models`.
      options: options of `motion_vit.create_model`.

    Returns:
      The table as text. GMACs are 1e9 multiply-adds (half the number of floating point operations).

    Raises:
      UserError: an unknown name or option, or options that the model refuses, see `checked_model`.
    """
    model = checked_model(name, options).model
    costs = measure_costs(model)
    rows = [("part", "output [t, h, w, c]", "parameters", "GMACs", "activations MB")]
    for part, cost in costs.items():
        shape = " x ".join(map(str, cost.output_shape))
        rows.append((part, shape, *_numbers(cost.parameters, cost.multiply_adds, cost.activation_bytes)))
    totals = [
        sum(getattr(cost, field) for cost in costs.values())
        for field in ("parameters", "multiply_adds", "activation_bytes")
    ]
    rows.append(("total", "", *_numbers(*totals)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    frames, height, width, _ = model.clip_shape
    clip = f"{frames} frames of {height} x {width}"
    title = f"{name}: one clip of {clip}, {model.num_classes} classes"
    lines = ["  ".join(_align(row, widths)).rstrip() for row in rows]
    blindness = describe_motion_blindness(model)
    return "\n".join([title, *lines, *([blindness] if blindness else [])])


def _numbers(parameters: int, multiply_adds: int, activation_bytes: int) -> tuple[str, str, str]:
    return f"{parameters:,}", f"{multiply_adds / 1e9:.3f}", f"{activation_bytes / 1e6:.1f}"


def _align(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Pads a row's cells: the first two, names and shapes, to the left, numbers to the right."""
    cells = zip(row, widths, strict=True)
    return [cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(cells)]
