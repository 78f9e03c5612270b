"""What the definitions of commands share."""

import argparse
from collections.abc import Callable
from typing import Any

CONFIG_PREFIX = "--config."
"""How an argument starts that changes a field of a recipe; commands with `takes_overrides` accept them."""

STOPPED_STATUS = 75
"""Stopped by a signal after saving; the same command continues. EX_TEMPFAIL of sysexits.h: try again."""

INTERRUPTED_STATUS = 130
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


def at_least(least: int) -> Callable[[str], int]:
    """Makes argparse take whole numbers from a least one on.

    Args:
      least: that number.

    Returns:
      A function from an argument to its number, for `type=`.
    """

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least}")
        return value

    return whole_number
