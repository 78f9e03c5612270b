"""Describes the fields of a recipe for people, for the command line and the site: default, range and meaning."""

import fnmatch
from typing import NamedTuple

from motion_vit.training.recipe.config import unknown_field
from motion_vit.training.recipe.field_ranges import FIELD_RANGES
from motion_vit.training.recipe.fields import FIELDS


class FieldDescription(NamedTuple):
    """A field in words.

    Attributes:
      name: dotted.
      type: name of a Python type; "mapping" for options and notes.
      default: as Python writes it.
      range: words that follow "must be".
      meaning: sentences; what stands in backquotes is code.
    """

    name: str
    type: str
    default: str
    range: str
    meaning: str


def describe_fields(pattern: str = "") -> list[FieldDescription]:
    """Describes fields.

    Args:
      pattern: a name, the name of a group such as "optimizer", a part of a name, or a shell pattern; "" stands for all.

    Returns:
      The fields that match, in the order of the recipe.

    Raises:
      UserError: none does.
    """
    found = {name: field for name, field in FIELDS.items() if _matches(name, pattern)}
    if not found:
        raise unknown_field(pattern)
    kinds = {dict: "mapping", type(None): "text or mapping", str: "text"}
    return [
        FieldDescription(
            name,
            kinds.get(type(field.default), type(field.default).__name__),
            repr(field.default),
            FIELD_RANGES[name].expectation,
            field.meaning,
        )
        for name, field in found.items()
    ]


def _matches(name: str, pattern: str) -> bool:
    if any(sign in pattern for sign in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    return pattern in name
