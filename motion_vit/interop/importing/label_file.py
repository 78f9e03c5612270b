"""Reads class names in the formats in which datasets and papers publish them."""

import collections
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from motion_vit.errors import UserError
from motion_vit.files.regular_file import read_regular_text

_LARGEST_FILE = 16 * 2**20
_NUMBERED = re.compile(r"(.*\S)\t\s*(\d+)\s*")


def read_label_file(path: pathlib.Path) -> tuple[str, ...]:
    """Reads the names of classes in the order of the logits.

    Args:
      path: text with a name on each line, or with name, tab and number, as in UniFormer's
        `kinetics_400_categroies.txt`. Or a `.json`: a list of names, or an object from names to numbers or from numbers
        to names. Numbers may be texts, as in Something-Something's `labels.json`, and names in quotes, as in Kinetics's
        class names.

    Returns:
      The names.

    Raises:
      UserError: the file is missing or of another form, a name is given twice, or the numbers are not those from 0 to
        one less than the number of names.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UserError(f"the label file {path} has {path.stat().st_size} bytes; names of classes do not.")
        text = read_regular_text(path, "utf-8-sig")
        names = _from_json(json.loads(text)) if path.suffix == ".json" else _from_lines(text.splitlines())
    except OSError as error:
        raise UserError(f"the label file {path} cannot be read: {error.strerror}.") from error
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"the label file {path} is not understood: {error}. Expected one name a line, or JSON: a list of names, or "
            "an object of names and numbers from 0 on."
        ) from error
    name, count = collections.Counter(names).most_common(1)[0]
    if count > 1:
        raise UserError(f"the label file {path} names {name!r} {count} times; classes are told apart by their names.")
    return names


def _from_lines(lines: list[str]) -> tuple[str, ...]:
    filled = [line.strip() for line in lines if line.strip()]
    numbered = [_NUMBERED.fullmatch(line) for line in filled]
    if filled and all(numbered):
        return _in_order({found[1]: found[2] for found in numbered if found})
    if not filled:
        raise ValueError("it holds no names")
    return tuple(filled)


def _from_json(content: Any) -> tuple[str, ...]:
    if isinstance(content, Mapping) and content:
        if all(isinstance(value, str) and not value.isdecimal() for value in content.values()):
            content = {name: number for number, name in content.items()}
        return _in_order(content)
    if not isinstance(content, list) or not content or not all(isinstance(name, str) for name in content):
        raise ValueError("it holds neither a list of names nor an object of names and numbers")
    return tuple(content)


def _in_order(numbers: Mapping[str, Any]) -> tuple[str, ...]:
    names = {int(number): name.strip().strip('"') for name, number in numbers.items()}
    if sorted(names) != list(range(len(numbers))):
        raise ValueError(f"the numbers of its {len(numbers)} names are not those from 0 to {len(numbers) - 1}")
    return tuple(names[number] for number in range(len(names)))
