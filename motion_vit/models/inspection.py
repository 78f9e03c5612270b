"""The costs of a model: parameters, multiply-adds and activation memory, part by part, without running it."""

from collections.abc import Mapping
from typing import Any

from motion_vit.counts import counted
from motion_vit.models.checked_model import checked_model, trace_model
from motion_vit.models.motion_blindness import describe_motion_blindness
from motion_vit.models.part_costs import PartCost
from motion_vit.models.video_model import VideoModel


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
    return trace_model(model, clip_shape=clip_shape).costs


def inspect_model(name: str, options: Mapping[str, Any]) -> str:
    """Tabulates a model's parts: output shape, parameters, GMACs and activation memory of one clip.

    Args:
      name: a name of `motion_vit.list_models`.
      options: options of `motion_vit.create_model`.

    Returns:
      The table as text. GMACs are 1e9 multiply-adds (half the number of floating point operations).

    Raises:
      UserError: an unknown name or option, or options that the model refuses, see `checked_model`.
    """
    traced = checked_model(name, options)
    model, costs = traced.model, traced.costs
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
    clip = f"{counted(frames, 'frame')} of {height} x {width}"
    title = f"{name}: one clip of {clip}, {counted(model.num_classes, 'class')}"
    lines = ["  ".join(_align(row, widths)).rstrip() for row in rows]
    unknown = sorted({name for cost in costs.values() for name in cost.uncounted})
    if unknown:
        lines.append(
            f"Not counted in GMACs: what {', '.join(unknown)} multiply beside the layers in them. A method "
            "multiply_adds(inputs) says it."
        )
    blindness = describe_motion_blindness(model)
    return "\n".join([title, *lines, *([blindness] if blindness else [])])


def _numbers(parameters: int, multiply_adds: int, activation_bytes: int) -> tuple[str, str, str]:
    return f"{parameters:,}", f"{multiply_adds / 1e9:.3f}", f"{activation_bytes / 1e6:.1f}"


def _align(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Pads a row's cells: the first two, names and shapes, to the left, numbers to the right."""
    cells = zip(row, widths, strict=True)
    return [cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(cells)]
