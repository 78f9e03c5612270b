"""Rules over parameter names: the first pattern that matches decides.

One mechanism for everything that is set by parameter name: weight decay, learning rates, freezing, averages, sharding.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flax import traverse_util

from motion_vit.errors import UserError

Value = TypeVar("Value")
Tree = Any  # nested mappings with arrays as leaves

_SHOWN_PATHS = 3


def first_match(
    field: str, rules: Sequence[tuple[str, Value]], tree: Tree, default: Callable[[str, Any], Value]
) -> Tree:
    """Maps each leaf of a tree to the value of the first rule that matches its path.

    Args:
      field: name of the setting that holds the rules, for messages.
      rules: (regular expression, value) pairs. An expression matches the whole path, whose parts are joined by "/", as
        in `stage3/block0/attention/qkv/kernel`.
      tree: nested mappings, such as parameters.
      default: returns the value of a leaf that no rule matches, from its path and the leaf.

    Returns:
      The tree of values.

    Raises:
      UserError: an expression is not a regular expression, or matches no path at all.
    """
    flat = traverse_util.flatten_dict(tree, sep="/")
    found = matches(field, [pattern for pattern, _ in rules], tree)
    values = {path: default(path, flat[path]) if rule is None else rules[rule][1] for path, rule in found.items()}
    return traverse_util.unflatten_dict(values, sep="/")


def matches(field: str, patterns: Sequence[str], tree: Tree) -> dict[str, int | None]:
    """Finds the first of several patterns that matches each path of a tree.

    Args:
      field: name of the setting that holds the patterns, for messages.
      patterns: regular expressions, as in `first_match`.
      tree: nested mappings, such as parameters.

    Returns:
      Path -> number of the pattern, None where no pattern matches.

    Raises:
      UserError: a pattern is not a regular expression, or matches no path at all.
    """
    compiled = [_compile(field, pattern) for pattern in patterns]
    paths = list(traverse_util.flatten_dict(tree, sep="/"))
    for pattern in compiled:
        if not any(pattern.fullmatch(path) for path in paths):
            raise _no_match(field, pattern.pattern, paths)
    return {
        path: next((number for number, pattern in enumerate(compiled) if pattern.fullmatch(path)), None)
        for path in paths
    }


def _compile(field: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UserError(f"{field}: the pattern {pattern!r} is not a regular expression: {error}.") from error


def _no_match(field: str, pattern: str, paths: Sequence[str]) -> UserError:
    # The paths that the pattern finds a part of are what it was meant for, if there are any.
    near = [path for path in paths if re.search(pattern, path)]
    near = near or difflib.get_close_matches(pattern, paths, n=_SHOWN_PATHS, cutoff=0.3) or list(paths)
    return UserError(
        f"{field}: the pattern {pattern!r} matches no parameter. A pattern must match the whole path, such as "
        f"{', '.join(near[:_SHOWN_PATHS])}."
    )
