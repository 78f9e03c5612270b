"""Argument parsing shared by the commands."""

import argparse
import ast
import pathlib
import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from motion_vit.data.batches.batch_ranges import BATCH_SIZE, CLIPS, CROPS
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.errors import UserError, did_you_mean
from motion_vit.files.local_path import refuse_address
from motion_vit.ranges import SHARE, Number, Range, Whole, shown

if TYPE_CHECKING:
    from motion_vit.training.inference.segments import SegmentRules

CONFIG_PREFIX = "--config."
"""How an argument starts that changes a field of a recipe; commands with `takes_overrides` accept them."""

CHECKPOINT_HELP = (
    "workdir of a training run, weights folder, demo, a name of `motion-vit models`, or hf:owner/name of the Hugging "
    "Face hub"
)
"""What `--checkpoint` takes."""

FAILED_STATUS = 1
"""Some of many clips or videos cannot be used, and all others were."""

STOPPED_STATUS = 75
"""Stopped by a signal after saving; the same command continues. EX_TEMPFAIL of sysexits.h: try again."""

INTERRUPTED_STATUS = 130
"""What a shell reports for a command that Ctrl-C ended."""

_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")

_SECONDS = Number(0, MOST_SECONDS)

Command = Callable[[argparse.Namespace], int]

_Number = TypeVar("_Number", int, float)


def add_command(
    commands: Any,
    name: str,
    run: Command,
    summary: str,
    details: str = "",
    *,
    takes_overrides: bool = False,
    addresses: Collection[str] = (),
) -> argparse.ArgumentParser:
    """Defines a command.

    Args:
      commands: the return value of `add_subparsers`.
      name: the word on the command line.
      run: function of the command; returns the exit status.
      summary: one line, in lower case.
      details: more sentences for its `--help`.
      takes_overrides: accept arguments of the form `--config.key=value`; they arrive as `options.overrides`.
      addresses: names of the options whose values may be addresses such as `https://...`; those of all others are
        refused, see `refuse_addresses`.

    Returns:
      The parser of the command, to add arguments to.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {details}", allow_abbrev=False
    )
    parser.set_defaults(run=run, takes_overrides=takes_overrides, addresses=addresses, parser=parser)
    return parser


def refuse_argument(parser: argparse.ArgumentParser, argument: str) -> NoReturn:
    """Ends the process because of an argument that a command does not know, with the nearest of its flags.

    Args:
      parser: of the command.
      argument: what it was given.
    """
    flags = sorted(set(_FLAG.findall(parser.format_help())))
    parser.error(f"unrecognized argument: {argument}.{did_you_mean(argument.partition('=')[0], flags)}")


def refuse_addresses(options: argparse.Namespace) -> None:
    """Refuses addresses of buckets and servers where a command reads or writes local paths, before it begins.

    Args:
      options: of a command that `add_command` defined; its overrides of fields are left to the recipe.

    Raises:
      UserError: an argument is an address, with a way out.
    """
    for name, value in vars(options).items():
        if name == "overrides" or name in options.addresses:
            continue
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str | pathlib.Path):
                refuse_address(text)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Defines `--checkpoint`, and `--which` and `--ema`, which choose among its weights.

    Args:
      parser: of a command that classifies videos.
    """
    parser.add_argument("--checkpoint", required=True, metavar="DIR", help=CHECKPOINT_HELP)
    add_weights_choice(parser)


def add_views(parser: argparse.ArgumentParser) -> None:
    """Defines `--clips`, `--crops` and `--batch-size`, the views that are made of each video.

    Args:
      parser: of a command that classifies videos.
    """
    parser.add_argument(
        "--clips", type=whole_number(CLIPS), metavar="N", help="clips of each video; default: the recipe's"
    )
    parser.add_argument(
        "--crops", type=whole_number(CROPS), metavar="{1,3}", help="crops of each clip; default: the recipe's"
    )
    parser.add_argument(
        "--batch-size", type=whole_number(BATCH_SIZE), metavar="N", help="views at once; default: the recipe's"
    )


def add_weights_choice(parser: argparse.ArgumentParser) -> None:
    """Defines `--which` and `--ema`, which choose among the weights that a run keeps.

    Args:
      parser: of a command that takes a checkpoint.
    """
    parser.add_argument(
        "--which",
        choices=["last", "best"],
        default="last",
        help="the last checkpoint, or the best in validation",
    )
    parser.add_argument(
        "--ema",
        action=argparse.BooleanOptionalAction,
        help="take the averages of the parameters, or not; default: the recipe's evaluation.ema",
    )


def refusal(given: str, expected: str) -> argparse.ArgumentTypeError:
    """Makes the error for a `type=` function to raise; for other errors, argparse prints only the function's name.

    Args:
      given: the argument.
      expected: what it must be, such as "a whole number".

    Returns:
      The error.
    """
    return argparse.ArgumentTypeError(f"given {shown(given)}, but expected {expected}")


def whole_number(expected: Range) -> Callable[[str], int]:
    """Makes a parser of whole numbers, for `type=`.

    Args:
      expected: range of valid numbers.

    Returns:
      A function from an argument to its number, for `type=`.
    """
    return _number(int, expected)


def whole(least: int, most: int) -> Callable[[str], int]:
    """Makes a parser of whole numbers between two bounds, for numbers that only a command takes."""
    return whole_number(Whole(least, most))


def real_number(expected: Range) -> Callable[[str], float]:
    """Makes a parser of numbers; see `whole_number`."""
    return _number(float, expected)


def seconds(text: str) -> float:
    """Reads seconds, with or without their sign, for `type=`.

    Args:
      text: such as 2 or 0.5s.

    Returns:
      The number.
    """
    try:
        return real_number(_SECONDS)(text.removesuffix("s"))
    except argparse.ArgumentTypeError:
        raise refusal(text, f"seconds, such as 2 or 0.5s: {_SECONDS.expectation}") from None


def add_segment_rules(parser: Any) -> None:
    """Defines `--enter`, `--leave` and `--min-length`, where labels begin and end.

    Args:
      parser: of a command that finds segments, or a group of its arguments.
    """
    parser.add_argument(
        "--enter", type=real_number(SHARE), metavar="P", help="a label begins with this probability; default: 0.5"
    )
    parser.add_argument("--leave", type=real_number(SHARE), metavar="P", help="and ends below this one; default: 0.3")
    parser.add_argument(
        "--min-length",
        type=seconds,
        metavar="SECONDS",
        help="drop shorter segments, and close shorter gaps in a label; default: 0",
    )


def segment_rules(options: argparse.Namespace) -> "SegmentRules":
    """Makes the rules of segments, with a `leave` that fits to an `enter` given alone.

    Args:
      options: with what `add_segment_rules` defines.

    Returns:
      The rules.

    Raises:
      UserError: labels would end before they begin.
    """
    from motion_vit.training.inference.segments import SegmentRules

    return SegmentRules.of(options.enter, options.leave, options.min_length)


def _number(convert: Callable[[str], _Number], expected: Range) -> Callable[[str], _Number]:
    def read(text: str) -> _Number:
        try:
            value = convert(text)
        except ValueError:
            raise refusal(text, expected.expectation) from None
        if not expected.holds(value):
            raise refusal(text, expected.expectation)
        return value

    return read


def model_options(texts: Sequence[str], *, of: str = "a model", example: str = "frames=8") -> dict[str, Any]:
    """Parses the options of a model, or of something else that has some.

    Args:
      texts: arguments of the form `OPTION=VALUE`; a value is a Python literal, or otherwise text.
      of: what they are options of, with its article.
      example: one of them, for a message.

    Returns:
      Option -> value.

    Raises:
      UserError: one has another form, or an option is given twice.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(
                f"{text!r} is not understood; an option of {of} is written OPTION=VALUE, such as {example}."
            )
        if name in options:
            raise UserError(f"the option {name!r} of {of} is given twice.")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last three of nested brackets
            options[name] = value
    return options
