"""Reads JSON whose path comes from outside."""

import json
import os
from typing import Any

from motion_vit.files.regular_file import read_regular_text


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a file of JSON.

    Args:
      path: comes from outside, and so does what the file holds.

    Returns:
      What it holds: dicts, lists, texts, numbers, booleans or None.

    Raises:
      OSError: it is missing, no regular file, or too long; see `regular_file.read_regular_text`.
      ValueError: it is not JSON in UTF-8, nests its values too deep, or has a number of too many digits.
    """
    text = read_regular_text(path)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deep") from None
