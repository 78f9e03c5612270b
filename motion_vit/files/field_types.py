"""Checks that a dataclass that was made of JSON holds what its annotations say."""

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_field_types(record: Any) -> None:
    """Checks every field of a dataclass, and of those within it.

    Args:
      record: its annotations are made of `int`, `float`, `bool`, `str`, None, `Literal`, tuples and sequences of any
        length, mappings, and dataclasses, which are there already.

    Raises:
      ValueError: a field is of another type. A whole number is a `float`, too; a truth value is no number, and NaN and
        infinity are none.
    """
    for name, hint in get_type_hints(type(record)).items():
        if not _is_of(getattr(record, name), hint):
            expected = hint.__name__ if isinstance(hint, type) else hint
            raise ValueError(f"its field {name} is not of the type {expected}")


def _is_of(value: Any, hint: Any) -> bool:
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return any(_is_of(value, each) for each in arguments)
    if kind is Literal:
        return isinstance(value, str | int) and value in arguments
    if kind is not None and issubclass(kind, Mapping):
        of_key, of_value = arguments
        return isinstance(value, Mapping) and all(_is_of(key, of_key) and _is_of(value[key], of_value) for key in value)
    if kind is not None and issubclass(kind, Sequence):
        return isinstance(value, list | tuple) and all(_is_of(item, arguments[0]) for item in value)
    if dataclasses.is_dataclass(hint):
        check_field_types(value)
        return True
    if hint in (int, float):
        is_number = isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)
    return isinstance(value, hint)
