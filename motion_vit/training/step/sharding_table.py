"""Formats the memory per device under each rule of `sharding_rules` as a table."""

import collections
from collections.abc import Sequence
from typing import Any

import jax
import optax
from flax import traverse_util
from jax.sharding import PartitionSpec

from motion_vit.training.step import regex_rules
from motion_vit.training.step.sharding import Layout
from motion_vit.training.step.state import TrainState

_HEADINGS = ("pattern", "split over", "arrays", "parameters", "MB params", "MB optimizer", "MB averages")


def sharding_table(
    state: TrainState, optimizer: optax.GradientTransformation, rules: Sequence[tuple[str, Layout]]
) -> str:
    """Formats the memory of a state on one device, a line for each rule and way of splitting.

    Args:
      state: arrays, or shapes with shardings, such as of `TrainingProgram.abstract_state`.
      optimizer: the one that made `state.opt_state`.
      rules: the sharding rules of its parameters.

    Returns:
      Lines without a final line break; MB are 10^6 bytes on each device.
    """
    params = traverse_util.flatten_dict(state.params, sep="/")
    averages = traverse_util.flatten_dict(state.ema, sep="/")
    moments = _moment_bytes(state, optimizer)
    found = regex_rules.matches("sharding_rules", [pattern for pattern, _ in rules], state.params)
    groups: dict[tuple[int, str], list[str]] = collections.defaultdict(list)
    for path, leaf in params.items():
        rule = found[path]
        groups[len(rules) if rule is None else rule, _split_over(leaf.sharding.spec)].append(path)
    rows = []
    for (rule, split), paths in sorted(groups.items()):
        own = sum(_bytes_on_device(params[path]) for path in paths)
        averaged = sum(_bytes_on_device(averages[path]) for path in paths) if averages else 0
        rows.append(
            (
                rules[rule][0] if rule < len(rules) else "(no pattern)",
                split,
                len(paths),
                sum(params[path].size for path in paths),
                own,
                sum(moments[path] for path in paths),
                averaged,
            )
        )
    return _draw(rows, _bytes_of(state))


def _moment_bytes(state: TrainState, optimizer: optax.GradientTransformation) -> collections.Counter[str]:
    """Counts the bytes on each device of the optimizer's arrays for each parameter, by its path."""
    sizes: collections.Counter[str] = collections.Counter()
    flat = traverse_util.flatten_dict(state.params, sep="/")
    paths = traverse_util.unflatten_dict({path: path for path in flat}, sep="/")

    def add(leaf: Any, path: str) -> None:
        # Frozen parameters have no moments.
        sizes[path] += 0 if isinstance(leaf, optax.MaskedNode) else _bytes_on_device(leaf)

    optax.tree.map_params(
        optimizer, add, state.opt_state, paths, is_leaf=lambda leaf: isinstance(leaf, optax.MaskedNode)
    )
    return sizes


def _bytes_of(state: TrainState) -> int:
    return sum(_bytes_on_device(leaf) for leaf in jax.tree.leaves(state))


def _bytes_on_device(leaf: Any) -> int:
    count = 1
    for side in leaf.sharding.shard_shape(leaf.shape):
        count *= side
    return count * leaf.dtype.itemsize


def _split_over(spec: PartitionSpec) -> str:
    parts = [f"{axis} (dimension {dimension})" for dimension, axis in enumerate(spec) if axis is not None]
    return ", ".join(parts) or "nothing"


def _draw(rows: Sequence[tuple[Any, ...]], total: int) -> str:
    """Formats the rows with their sum, in columns, and the bytes of the whole state."""
    sums = ("total", "", *(sum(row[column] for row in rows) for column in range(2, len(_HEADINGS))))
    cells = [_HEADINGS]
    for pattern, split, arrays, parameters, *sizes in (*rows, sums):
        cells.append((pattern, split, f"{arrays:,}", f"{parameters:,}", *(f"{size / 1e6:,.2f}" for size in sizes)))
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(
        [*lines, f"each device holds {total / 1e6:,.2f} MB of state, counters and running statistics included"]
    )
