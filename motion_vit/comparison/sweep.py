"""Makes a grid of recipes of one: each of some fields takes each of some values."""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.ranges import shown
from motion_vit.training.recipe.file import OVERRIDE_PREFIX, with_overrides

MOST_CELLS = 1000
"""Cells of a grid, at most: more are a mistake."""

_FORM = "--set config.optimizer.learning_rate=1e-4,3e-4"
_LONGEST_VALUE = 40
_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "\"'"

# What runs are told apart by, or measured with: their results stand in one table because these are the same.
_TAKEN: Mapping[str, str] = {
    "seed": "--seeds N trains with several",
    "name": "runs are called by their cells",
    "data.train": "`motion-vit transfer` takes several sets of videos",
    "data.validation": "`motion-vit transfer` takes several sets of videos",
    "evaluation.clips": "`motion-vit evaluate --clips` measures a run again",
    "evaluation.crops": "`motion-vit evaluate --crops` measures a run again",
    "evaluation.ema": "`motion-vit evaluate --ema` measures a run again",
}


@dataclasses.dataclass(frozen=True)
class Axis:
    """A field and the values that it takes.

    Attributes:
      field: dotted name.
      values: as they are written on the command line, each once.
    """

    field: str
    values: tuple[str, ...]


def parse_axis(text: str) -> Axis:
    """Reads an axis of a grid.

    Args:
      text: `config.FIELD=VALUE,VALUE,...`. Commas in brackets and quotes do not separate.

    Returns:
      The axis.

    Raises:
      UserError: it has another form, a value is empty or comes twice, or the field cannot be swept.
    """
    name, equals, rest = text.partition("=")
    field = name.removeprefix("--").removeprefix("config.")
    values = tuple(part.strip() for part in _split(rest))
    if not equals or not field or not all(values):
        raise UserError(f"{shown(text)} is no axis of a grid: give a field and its values, as in {_FORM}.")
    if field in _TAKEN:
        raise UserError(f"the field {field} cannot be swept: {_TAKEN[field]}.")
    if repeated := [value for number, value in enumerate(values) if value in values[:number]]:
        raise UserError(f"the field {field} is given the value {shown(repeated[0])} twice; give each once.")
    return Axis(field, values)


def sweep(recipes: Mapping[str, ConfigDict], axes: Sequence[Axis]) -> dict[str, ConfigDict]:
    """Makes the grid of one or several recipes.

    Args:
      recipes: name -> recipe.
      axes: what is varied; without any, the recipes are returned as they are.

    Returns:
      Name of a cell -> its recipe, the last axis changing fastest. A name has the values, such as
      `learning_rate=1e-4,batch_size=8`, and begins with that of its recipe where there are several.

    Raises:
      UserError: a field comes twice or is unknown, a value has the wrong type, or there are too many cells.
    """
    fields = [axis.field for axis in axes]
    if repeated := [field for number, field in enumerate(fields) if field in fields[:number]]:
        raise UserError(f"the field {repeated[0]} is given twice; give all its values at once, as in {_FORM}.")
    cells = len(recipes) * math.prod(len(axis.values) for axis in axes)
    if cells > MOST_CELLS:
        raise UserError(f"the grid has {cells} cells, but at most {MOST_CELLS} are trained. Give fewer values.")
    if not axes:
        return dict(recipes)
    words = _short_names(fields)
    grid: dict[str, ConfigDict] = {}
    for name, config in recipes.items():
        for values in itertools.product(*(axis.values for axis in axes)):
            parts = [f"{words[field]}={_plain(value)}" for field, value in zip(fields, values, strict=True)]
            cell = ",".join([name, *parts] if len(recipes) > 1 else parts)
            changes = [f"{OVERRIDE_PREFIX}{field}={value}" for field, value in zip(fields, values, strict=True)]
            grid[_unused(cell, grid)] = with_overrides(config, changes)
    return grid


def _split(text: str) -> list[str]:
    """Splits at the commas that are neither in brackets nor in quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        else:
            depth += (letter in _OPENING) - (letter in _CLOSING)
            if letter == "," and depth <= 0:
                parts.append("")
                continue
        parts[-1] += letter
    return parts


def _short_names(fields: Sequence[str]) -> dict[str, str]:
    """Calls fields by the last part of their names, where that tells them apart."""
    last = [field.rpartition(".")[2] for field in fields]
    return {field: word if last.count(word) == 1 else field for field, word in zip(fields, last, strict=True)}


def _plain(value: str) -> str:
    """Writes a value so that a folder can be called by it."""
    return re.sub(r"[^\w.+-]+", "_", value)[:_LONGEST_VALUE]


def _unused(name: str, taken: Mapping[str, ConfigDict]) -> str:
    """Numbers a name that two values share, because what tells them apart cannot be in one."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)
