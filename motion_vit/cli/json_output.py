"""Prints the JSON that `--json` asks for."""

import json
from typing import Any


def print_json(value: Any) -> None:
    """Prints a value as JSON of visible ASCII characters, which `motion_vit.terminal` passes on as they are.

    Args:
      value: of dictionaries, lists, texts and numbers.
    """
    # The one control character that JSON does not escape.
    print(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))
