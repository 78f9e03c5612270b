"""Rules over parameter names: the first pattern that matches decides.

One mechanism for everything that is said by parameter name.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flax import traverse_util

from motion_vit.errors import UserError

Value = TypeVar("Value")
Tree = Any  # nested mappings with arrays as leaves


def first_match(rules: Sequence[tuple[str, Value]], tree: Tree, default: Callable[[str, Any], Value]) -> Tree:
    """A tree of the same structure that holds, for each leaf, the value of the first rule that matches its path.

    Args:
      rules: (regular expression, value) pairs. An expression matches the whole path, whose parts are joined by "/", as
        in `stage3/block0/attention/qkv/kernel`.
      tree: nested mappings, such as parameters.
      default: makes the value of a leaf that no rule matches, from its path and the leaf.

    Returns:
      The tree of values.

    Raises:
      UserError: an expression is not a regular expression.
    """
    compiled = [(_compile(pattern), value) for pattern, value in rules]

    def value_of(path: str, leaf: Any) -> Value:
        for pattern, value in compiled:
            if pattern.fullmatch(path):
                return value
        return default(path, leaf)

    flat = traverse_util.flatten_dict(tree, sep="/")
    return traverse_util.unflatten_dict({path: value_of(path, leaf) for path, leaf in flat.items()}, sep="/")


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UserError(f"the pattern {pattern!r} is not a regular expression: {error}.") from error
