"""Prints the JSON that `--json` asks for."""

from typing import Any

from motion_vit.files.json_text import json_text


def print_json(value: Any) -> None:
    """Prints a value as JSON; see `json_text`."""
    print(json_text(value), end="")
