"""`motion-vit inspect`."""

import argparse
import ast
from typing import Any

from motion_vit.cli.arguments import add_command
from motion_vit.errors import UserError


def add_inspect(commands: Any) -> None:
    """Defines `motion-vit inspect`."""
    parser = add_command(commands, "inspect", _inspect, "print a model's parameters, multiply-adds and memory by stage")
    parser.add_argument("model", metavar="MODEL", help="name of a model")
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE", help="such as frames=32 window=5")


def _inspect(options: argparse.Namespace) -> int:
    from motion_vit.models.inspection import inspect_model

    print(inspect_model(options.model, dict(_model_option(text) for text in options.options)))
    return 0


def _model_option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{text!r} is not understood; options of a model are written OPTION=VALUE.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
