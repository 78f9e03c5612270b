"""Tells which field a recipe file meant that recipes do not have, from the error that ConfigDict raises."""

import re
import traceback

from ml_collections import ConfigDict

from motion_vit.training.recipe.fields import FIELDS

# How the messages of ConfigDict begin: `Key "lr" does not exist` and `'lr'`, which its AttributeError quotes once more.
_KEY = re.compile(r"""\W*(?:Key )?["'\\]+(\w+)["'\\]""")


def unknown_key(error: Exception) -> str:
    """Finds the dotted name of an unknown field.

    Args:
      error: what a recipe file raised.

    Returns:
      The name, or "" if the error is about something else.
    """
    if not isinstance(error, AttributeError | KeyError):
        return ""
    # Which group of fields it was is told by the group itself, which the method that raised has as `self`.
    methods = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    groups = [each for each in methods if isinstance(each, ConfigDict)]
    found = _KEY.match(str(error))
    if not groups or not found or found[1] in groups[-1]:
        return ""
    prefix = _prefix(groups[-1])
    return "" if prefix is None else prefix + found[1]


def _prefix(group: ConfigDict) -> str | None:
    """Returns what the names of a group's fields begin with; None for no group of a recipe."""
    groups: dict[str, set[str]] = {}
    for name in FIELDS:
        parts = name.split(".")
        for depth, part in enumerate(parts):
            groups.setdefault("".join(f"{each}." for each in parts[:depth]), set()).add(part)
    return next((prefix for prefix, names in groups.items() if names == set(group.keys())), None)
