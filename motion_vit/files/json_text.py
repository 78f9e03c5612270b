"""Writes values as JSON that can be printed, sent and stored as it is."""

import json
from typing import Any


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """Writes a value as JSON of visible ASCII characters, which `motion_vit.terminal` passes on as they are.

    Args:
      value: of dictionaries, lists, texts and numbers.
      indent: blanks before what is inside of something; None writes one line.

    Returns:
      JSON, with a line break at its end.
    """
    # The one control character that JSON does not escape.
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f") + "\n"
