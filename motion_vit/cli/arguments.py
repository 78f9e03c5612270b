"""What the definitions of commands share."""

import argparse
from collections.abc import Callable
from typing import Any

CONFIG_PREFIX = "--config."
"""How an argument starts that changes a field of a recipe; commands with `takes_overrides` accept them."""

STOPPED_STATUS = 130
"""What a shell reports for a command that Ctrl-C ended."""

Command = Callable[[argparse.Namespace], int]


def add_command(
    commands: Any, name: str, run: Command, summary: str, details: str = "", *, takes_overrides: bool = False
) -> argparse.ArgumentParser:
    """Defines a command.

    Args:
      commands: what `add_subparsers` returned.
      name: the word on the command line.
      run: what it does; returns the exit status.
      summary: one line, in lower case.
      details: sentences that its `--help` says besides.
      takes_overrides: whether arguments of the form `--config.key=value` are for it; they arrive as
        `options.overrides`.

    Returns:
      Its parser, to add arguments to.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {details}", allow_abbrev=False
    )
    parser.set_defaults(run=run, takes_overrides=takes_overrides)
    return parser


def not_negative(text: str) -> int:
    """A whole number from 0 on, for argparse.

    Args:
      text: the argument.

    Returns:
      The number.

    Raises:
      ValueError: it is no whole number.
      ArgumentTypeError: it is below 0.
    """
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def positive(text: str) -> int:
    """A whole number above 0, for argparse.

    Args:
      text: the argument.

    Returns:
      The number.

    Raises:
      ValueError: it is no whole number.
      ArgumentTypeError: it is below 1.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value
