"""Facts that names and shapes of weights tell, whatever their family of models."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from motion_vit.interop.files.stored_tensor import Shape

_COLLECTIONS = ("params/", "batch_stats/")
"""What names begin with in files of this library, where they are paths joined by "/"."""

_LONGEST_NUMBER = 9
"""Digits of the number of a block."""

_OWN_HEAD = re.compile(r"params/(backbone/)?head/bias")
"""The classifier's bias in files of this library, also behind an input adapter."""


def has_own_names(names: Iterable[str]) -> bool:
    """Tells if weights are named as in files of this library, and not as in PyTorch."""
    return all(name.startswith(_COLLECTIONS) for name in names)


def own_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options off weights that are named as in files of this library.

    Such a file lies beside a `config.json`, which tells the others.

    Args:
      shapes: names and shapes of the weights.

    Returns:
      `num_classes`, where there is a classifier.
    """
    return known({"num_classes": first_size(shapes, [name for name in shapes if _OWN_HEAD.fullmatch(name)])})


def known(options: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps the options whose value was found: all that are not None.

    Args:
      options: options by name.
    """
    return {name: value for name, value in options.items() if value is not None}


def size(shapes: Mapping[str, Shape], name: str, axis: int = 0) -> int | None:
    """Returns the size of a weight along an axis.

    Args:
      shapes: names and shapes of the weights.
      name: name of the weight.
      axis: number of the axis, negative from the last one.

    Returns:
      None if there is no such weight, or it has no such axis.
    """
    shape = shapes.get(name, ())
    return shape[axis] if -len(shape) <= axis < len(shape) else None


def first_size(shapes: Mapping[str, Shape], names: Collection[str]) -> int | None:
    """Returns the size along the first axis of the first of some weights that is there; None if none is.

    Args:
      shapes: names and shapes of the weights.
      names: names that the weight may have.
    """
    return next((found for name in names if (found := size(shapes, name)) is not None), None)


def blocks(shapes: Mapping[str, Shape], pattern: str) -> int | None:
    """Counts the blocks in a sequence; None if there is no block.

    Args:
      shapes: names and shapes of the weights.
      pattern: matches the beginning of the names of blocks; its group is the number of the block, from 0.
    """
    found = (re.match(pattern, name) for name in shapes)
    # A longer number is of no block, and takes long to read.
    return max((int(block[1]) + 1 for block in found if block and len(block[1]) <= _LONGEST_NUMBER), default=None)


def of_all_stages(values: Sequence[int | None]) -> tuple[int | None, ...] | None:
    """Returns the values of all stages of a network; None if one is not known.

    Args:
      values: the value of each stage.
    """
    return None if None in values else tuple(values)
